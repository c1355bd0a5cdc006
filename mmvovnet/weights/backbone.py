"""Weights of other code that load into a backbone, renamed on the way."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmvovnet.models.archs import ARCHS

from .adapter import Adapter, detect, summary, unwrap
from .describe import describe
from .dialects import NAMES, OURS
from .errors import CheckpointError
from .loading import load
from .public import locate

if TYPE_CHECKING:
    from mmvovnet.models import VoVNet

_FIRST_CONV = 'stem.0.conv.weight'
# No gradient flows through an eSE gate relu6(x + 3) / 6 that is open, x = 3:
# with a bias just below it all passes, and the gate can learn.
_OPEN = 2.999
_NORMS = {'.bn.': "dict(type='BN')", '.gn.': "dict(type='GN', num_groups=...)"}


def from_pretrained(
    cls: type['VoVNet'], name: str | Path, **options: Any
) -> 'VoVNet':
    """See :meth:`mmvovnet.VoVNet.from_pretrained`."""
    path, row = locate(name)
    state = unwrap(load(path, 'cpu'))
    adapter = detect(state)
    if adapter is None:
        raise CheckpointError(f"'{path}' holds no VoVNet")
    known = adapter.options(state) | (row.options if row else {})
    model = cls(**known | options)
    model.starting = True
    model.load_state_dict(
        {n: state[n] for n in state if adapter.in_backbone(n)}
    )
    model.starting = False
    model.is_init = True  # so that init_weights() does not draw them anew
    if row and model.in_channels == 3:
        model.pixels = (row.pixels,)
    return model


def translate(
    model: 'VoVNet', state_dict: dict[str, Any], prefix: str, *_: Any
) -> None:
    """Rename the weights that a backbone is about to load, in place.

    What the backbone has no use for is taken out and logged. A model that
    starts from the weights, by its ``init_cfg`` or ``from_pretrained``, also
    gets open gates where the weights have none, and a first conv for its
    ``in_channels``. Weights of another network are an error.
    """
    given = {
        name.removeprefix(prefix): value
        for name, value in state_dict.items()
        if name.startswith(prefix)
    }
    model.has_weights |= bool(given)
    own = model.state_dict()
    source = detect(given, place=prefix)
    if source is None:
        if given and not given.keys() & own.keys():
            raise CheckpointError(
                'the checkpoint holds no VoVNet: the names for the backbone '
                f'begin {list(given)[:3]}; known are those of '
                f'{", ".join(NAMES)}'
            )
        return
    plain = source.dialect is OURS and not source.prefix
    weights = source.backbone(given)
    try:
        options = describe(weights)
    except CheckpointError:
        if plain:
            return  # a part of our own weights, which PyTorch may allow
        raise
    if model.starting:
        _adapt_channels(weights, model.in_channels)
        _open_gates(model, weights, options['gate'])
    network = describe(weights)
    left = [n for n in weights if stage_of(n) >= len(model.stages)]
    weights = {n: v for n, v in weights.items() if n not in left}
    if plain:  # PyTorch names the stages that are missing
        last = max(map(stage_of, weights))
        own = {n: v for n, v in own.items() if stage_of(n) <= last}
    _require_same(describe(weights), describe(own), network)
    if plain:  # and the weights
        own = {n: v for n, v in own.items() if n in weights}
    require_all(own, weights, network)
    model.pixels = ()  # our own networks are trained as they are used
    if source.dialect is not OURS:
        _log_what_weights_do_not_show(model, options, source)
    for name in given:
        if source.in_backbone(name) is None:
            if plain:
                continue
            left.append(name)
        del state_dict[prefix + name]
    state_dict.update({prefix + name: v for name, v in weights.items()})
    if model.starting:
        _log(f'The backbone starts from {len(weights)} weights of the file')
    if left:
        _log(f'Not used by the backbone: {summary(left)}')


def _adapt_channels(weights: dict[str, Tensor], channels: int) -> None:
    """Let a conv that takes images of three channels take others.

    As in timm, one channel gets the sum of the three, so that a grey image
    gives what its three equal channels gave.
    """
    weight = weights[_FIRST_CONV]
    if weight.shape[1] != 3 or channels == 3:
        return
    if channels == 1:
        how, new = 'summed', weight.sum(1, keepdim=True)
    else:
        how = 'repeated, times 3 / channels'
        new = weight[:, torch.arange(channels) % 3] * (3 / channels)
    weights[_FIRST_CONV] = new
    _log(
        f"The file's first conv takes 3 channels, and in_channels is "
        f'{channels}: its weights are {how}. mean and std of the '
        f'data_preprocessor need as many values'
    )


def _open_gates(
    model: 'VoVNet', weights: dict[str, Tensor], gate: str
) -> None:
    """Add gates that let everything pass where the weights have none.

    timm gates the last module of a stage and V1 none, the authors' V2 every
    one.
    """
    if model.arch['gate'] != 'eSE' or gate not in ('eSE', 'none'):
        return
    added = {
        name: torch.full_like(value, _OPEN * name.endswith('bias'))
        for name, value in model.state_dict().items()
        if '.gate.' in name and name not in weights
    }
    if added:
        weights |= added
        _log(
            f'{len(added) // 2} gates that the weights lack start open: they '
            'pass everything and learn from there'
        )


def _require_same(
    given: dict[str, Any], ours: dict[str, Any], network: dict[str, Any]
) -> None:
    """Refuse weights of another network, and name the options that differ."""
    rows = [ARCHS.get(str(options['arch']), {}) for options in (given, ours)]
    change = {
        key: value
        for key, value in given.items()
        if value != ours[key]
        # what both archs set need not be said
        and [row.get(key) for row in rows] != [value, ours[key]]
    }
    if not change:
        return
    if 'arch' in change:
        change['arch'] = network['arch']  # by all of its stages
    options = ', '.join(f'{k}={v!r}' for k, v in change.items())
    said = (
        f'the checkpoint holds {_words(network)}, and the model is '
        f"{_words(ours)}: set {options} in the backbone's config"
    )
    if change == {'in_channels': 3}:
        said += (
            ", or start from the file by init_cfg=dict(type='Pretrained', "
            'checkpoint=...) or VoVNet.from_pretrained, which adapt its '
            'first conv'
        )
    raise CheckpointError(said)


def require_all(
    expected: dict[str, Tensor],
    weights: dict[str, Tensor],
    network: dict[str, Any],
) -> None:
    """Refuse weights that are not those expected, by names and shapes."""
    shapes = [
        {
            (name, value.shape)
            for name, value in state.items()
            if not name.endswith('num_batches_tracked')
        }
        for state in (expected, weights)
    ]
    wrong = {
        name
        for name, _ in shapes[0] ^ shapes[1]
        # deformable convs start at zero
        if name in weights or '.conv_offset.' not in name
    }
    if not wrong:
        return
    remedies = [
        f"; set norm_cfg={norm} in the backbone's config"
        for part, norm in _NORMS.items()
        if any(part in name for name in weights.keys() - expected.keys())
    ]
    raise CheckpointError(
        f'the checkpoint holds {_words(network)}, but these weights are '
        f'missing, unknown or of another shape: {summary(wrong)}'
        f'{"".join(remedies)}'
    )


def _log_what_weights_do_not_show(
    model: 'VoVNet', options: dict[str, Any], source: Adapter
) -> None:
    """Set the images that the weights expect; compare hidden options."""
    dialect = source.dialect
    expected: dict[Any, str] = {}
    for code in (dialect, *source.others):
        expected.setdefault(code.pixels_of(options['arch']), code.name)
    if model.in_channels == 3:  # none are published for other channels
        model.pixels = tuple(expected)
    if len(expected) == 1:
        said = f'Weights of {dialect.name} expect {next(iter(expected))}'
    else:
        said = (
            'Several codes name their weights as these are; it is a guess '
            'that they expect '
            + ', or else '.join(f'{p} ({n})' for p, n in expected.items())
        )
    _log(f"{said}: see the model's data_preprocessor")
    hidden = dialect.hidden(options['gate'])
    present = dict(
        stem_strides=tuple(model.stem_strides),
        pool_padding=model.pool_padding,
        identity=model.arch['identity'],
    )
    wrong = {k: v for k, v in hidden.items() if v != present[k]}
    if wrong:
        trained = ', '.join(f'{k}={v!r}' for k, v in wrong.items())
        others = ', '.join(f'{k}={present[k]!r}' for k in wrong)
        _log(
            f'{dialect.name} trained this network with {trained}, and the '
            f"model has {others}: set {trained} in the backbone's config, or "
            'its features differ',
            logging.WARNING,
        )


def _words(options: dict[str, Any]) -> str:
    said = f'VoVNet {options["arch"]}'
    if options['gate'] != 'none':
        last = options['gate_place'] == 'last'
        place = 'the last module of a stage' if last else 'every module'
        said += f' with a gate ({options["gate"]}) in {place}'
    channels = options['in_channels']
    return said if channels == 3 else f'{said} for {channels} channels'


def stage_of(name: str) -> int:
    """The stage of a weight; the stem counts as the first."""
    part, number = name.split('.')[:2]
    return int(number) if part == 'stages' and number.isdecimal() else 0


def _log(message: str, level: int = logging.INFO) -> None:
    print_log(message, logger='current', level=level)
