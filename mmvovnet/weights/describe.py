"""The network that weights belong to."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmvovnet.models.archs import ARCHS

from .errors import CheckpointError

_GATES = {'fc': 'eSE', 'fc1': 'SE', 'conv': 'ECA'}
_PER_STAGE = ('conv_channels', 'out_channels', 'num_modules')


def describe(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options of the VoVNet that weights in our names belong to.

    ``stem_strides``, ``pool_padding`` and ``identity`` have no weights and
    are not among them. ``arch`` is a dict if no known one fits.

    Raises:
        CheckpointError: Weights are missing.

    Example:
        >>> from mmvovnet import VoVNet
        >>> model = VoVNet('V-39-eSE', gate_place='last')
        >>> options = describe(model.state_dict())
        >>> options['arch'], options['gate'], options['gate_place']
        ('V-39-eSE', 'eSE', 'last')
    """
    modules, layers, gates = set(), set(), {}
    pattern = re.compile(r'stages\.(\d+)\.blocks\.(\d+)\.(\w+)\.(\w+)')
    for match in filter(None, map(pattern.match, weights)):
        module, part, item = (int(match[1]), int(match[2])), match[3], match[4]
        modules.add(module)
        if part == 'layers':
            layers.add(item)
        if part == 'gate' and item in _GATES:
            gates[module] = _GATES[item]
    stages = range(1 + max((stage for stage, _ in modules), default=-1))
    counts = [sum(stage == i for stage, _ in modules) for i in stages]

    def width(unit: str) -> int:
        for part in ('', 'pointwise_conv.', '1.'):  # dense, dw, bottleneck
            weight = weights.get(f'{unit}.{part}conv.weight')
            if weight is not None:
                return weight.shape[0]
        raise CheckpointError(
            f'the VoVNet in the checkpoint has no {unit!r}: it is incomplete'
        )

    firsts = [f'stages.{i}.blocks.0' for i in stages]
    fields = dict(
        stem_channels=tuple(width(f'stem.{i}') for i in range(3)),
        conv_channels=tuple(width(f'{first}.layers.0') for first in firsts),
        out_channels=tuple(width(f'{first}.aggregate') for first in firsts),
        num_modules=tuple(counts),
        num_layers=len(layers),
        depthwise='stem.1.depthwise_conv.conv.weight' in weights,
    )
    gate = next(iter(gates.values()), 'none')

    def start(row: dict[str, Any]) -> dict[str, Any]:
        known = {key: row[key] for key in fields}
        return known | {key: row[key][: len(stages)] for key in _PER_STAGE}

    fitting = [name for name, row in ARCHS.items() if start(row) == fields]
    # V-39 and V-39-eSE differ in their gates alone.
    fitting.sort(key=lambda name: ARCHS[name]['gate'] != gate)
    last = {(i, count - 1) for i, count in enumerate(counts)}
    if gates.keys() not in (set(), modules, last):
        raise CheckpointError(
            f'the VoVNet in the checkpoint has gates in the modules '
            f'{sorted(gates)}: neither in every one nor in the last of every '
            'stage, so it is incomplete or no known network'
        )
    return dict(
        arch=fitting[0] if fitting else fields,
        gate=gate,
        gate_place='every' if gates.keys() in (modules, set()) else 'last',
        bottleneck='stages.0.blocks.0.layers.0.0.conv.weight' in weights,
        in_channels=weights['stem.0.conv.weight'].shape[1],
    )
