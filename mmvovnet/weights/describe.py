"""The network that weights belong to."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmvovnet.models.archs import ARCHS

from .errors import CheckpointError

_GATES = {'fc': 'eSE', 'fc1': 'SE', 'conv': 'ECA'}


def describe(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options of the VoVNet that weights belong to.

    Two have no weights and cannot be told: ``stem_strides``, ``identity``.

    Args:
        weights (Mapping[str, Tensor]): State dict of a backbone, in our names.

    Returns:
        dict: Options of :class:`mmvovnet.VoVNet`. ``arch`` is a dict if no
        known one fits.

    Raises:
        CheckpointError: If weights are missing.

    Example:
        >>> from mmvovnet import VoVNet
        >>> model = VoVNet('V-39-eSE', gate_place='last')
        >>> options = describe(model.state_dict())
        >>> options['arch'], options['gate'], options['gate_place']
        ('V-39-eSE', 'eSE', 'last')
    """
    modules, layers, gates = set(), set(), {}
    for name in weights:
        match = re.match(r'stages\.(\d+)\.blocks\.(\d+)\.(\w+)\.(\w+)', name)
        if match:
            module = int(match[1]), int(match[2])
            modules.add(module)
            if match[3] == 'layers':
                layers.add(match[4])
            if match[3] == 'gate' and match[4] in _GATES:
                gates[module] = _GATES[match[4]]
    counts = [
        sum(stage == i for stage, _ in modules)
        for i in range(1 + max((stage for stage, _ in modules), default=-1))
    ]

    def width(unit: str) -> int:
        for part in ('', 'pointwise_conv.', '1.'):  # dense, dw, bottleneck
            weight = weights.get(f'{unit}.{part}conv.weight')
            if weight is not None:
                return weight.shape[0]
        raise CheckpointError(
            f'the VoVNet in the checkpoint has no {unit!r}: it is incomplete'
        )

    stages = [f'stages.{i}.blocks.0' for i in range(len(counts))]
    fields = dict(
        stem_channels=tuple(width(f'stem.{i}') for i in range(3)),
        conv_channels=tuple(width(f'{stage}.layers.0') for stage in stages),
        out_channels=tuple(width(f'{stage}.aggregate') for stage in stages),
        num_modules=tuple(counts),
        num_layers=len(layers),
        depthwise='stem.1.depthwise_conv.conv.weight' in weights,
    )
    gate = next(iter(gates.values()), 'none')
    fitting = [name for name, row in ARCHS.items() if _fits(fields, row)]
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


def difference(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """The options that turn our VoVNet into theirs.

    Args:
        theirs (dict): Options by :func:`describe`.
        ours (dict): The same.

    Example:
        >>> v39 = dict(arch='V-39', gate='none', gate_place='every')
        >>> difference(v39, dict(v39, arch='V-39-eSE', gate='eSE'))
        {'arch': 'V-39'}
    """
    rows = [
        ARCHS[o['arch']] if isinstance(o['arch'], str) else {}
        for o in (theirs, ours)
    ]

    def implied(key: str) -> bool:
        return all(
            key in row and row[key] == options[key]
            for row, options in zip(rows, (theirs, ours), strict=True)
        )

    return {
        key: value
        for key, value in theirs.items()
        if value != ours[key] and not implied(key)
    }


def _fits(fields: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether an arch begins as these fields do."""
    stages = len(fields['num_modules'])
    per_stage = ('conv_channels', 'out_channels', 'num_modules')
    return all(
        value == (row[key][:stages] if key in per_stage else row[key])
        for key, value in fields.items()
    )
