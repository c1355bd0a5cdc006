"""Weights of other code that load into a backbone, renamed on the way."""

import logging
from typing import TYPE_CHECKING, Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from .adapter import Adapter, detect, summary
from .describe import describe, difference
from .dialects import AUTHORS, NAMES, OURS
from .errors import CheckpointError

if TYPE_CHECKING:
    from mmvovnet.models import VoVNet

_FIRST_CONV = 'stem.0.conv.weight'
# No gradient flows through an eSE gate relu6(x + 3) / 6 that is open, x = 3:
# with a bias just below it all passes, and the gate can learn.
_OPEN = 2.999
_NORMS = {'.bn.': "dict(type='BN')", '.gn.': "dict(type='GN', num_groups=...)"}


def translate(
    model: 'VoVNet', state_dict: dict[str, Any], prefix: str
) -> None:
    """Rename the weights that a backbone is about to load, in place.

    What the backbone has no use for is taken out and logged: stages that it
    has not built, and other parts of the model that the weights come from. A
    model that starts from the weights, by its ``init_cfg`` or
    ``from_pretrained``, also gets open gates where the weights have none, and
    a first conv for its ``in_channels``.

    Raises:
        CheckpointError: The weights are those of another network. The message
            says of which, and what to set.
    """
    given = {
        name.removeprefix(prefix): value
        for name, value in state_dict.items()
        if name.startswith(prefix)
    }
    source = detect(given, place=prefix)
    if source is None:
        if given and not given.keys() & model.state_dict().keys():
            raise CheckpointError(
                'the checkpoint holds no VoVNet: the names for the backbone '
                f'begin {list(given)[:3]}; known are those of '
                f'{", ".join(NAMES)}'
            )
        return
    plain = source.dialect is OURS and not source.prefix
    own = {name for name in given if source.in_backbone(name) is not None}
    others = [] if plain else [name for name in given if name not in own]
    weights = source.backbone(given)
    try:
        options = describe(weights)
    except CheckpointError:
        if plain:
            return  # a part of our own weights, which PyTorch may allow
        raise
    if model.starting:
        _adapt_channels(model, weights)
        _open_gates(model, weights, options['gate'])
    unbuilt = [n for n in weights if _stage(n) >= len(model.stages)]
    network = describe(weights)
    weights = {n: v for n, v in weights.items() if n not in unbuilt}
    stages = max(map(_stage, weights)) + 1
    expected = {
        name: value
        for name, value in model.state_dict().items()
        if _stage(name) < stages or not plain
    }
    check(expected, weights, network, partly=plain)
    model.pixels = ()  # our own networks are trained as they are used
    if source.dialect is not OURS:
        _log_what_weights_do_not_show(model, options, source)
    if model.in_channels != 3:
        model.pixels = ()  # nobody publishes any for other channels
    for name, counter in model.named_buffers():
        if name.endswith('num_batches_tracked'):
            weights.setdefault(name, counter)  # frozen norms have none

    for name in (*own, *others):
        del state_dict[prefix + name]
    state_dict.update({prefix + name: v for name, v in weights.items()})
    if model.starting:
        _log(f'The backbone starts from {len(expected)} weights of the file')
    if others or unbuilt:
        _log(f'Not used by the backbone: {summary(others + unbuilt)}')


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """Let a conv that takes images of three channels take others.

    As in timm, one channel gets the sum of the three, so that a grey image
    gives what its three equal channels gave; more channels repeat the three,
    scaled by 3 / channels. Weights of shape (N, 3, H, W) become (N, channels,
    H, W).

    Example:
        >>> adapt_channels(torch.ones(1, 3, 1, 1), 4).flatten()
        tensor([0.7500, 0.7500, 0.7500, 0.7500])
    """
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(channels) % 3] * (3 / channels)


def _adapt_channels(model: 'VoVNet', weights: dict[str, Tensor]) -> None:
    weight, channels = weights[_FIRST_CONV], model.in_channels
    if weight.shape[1] == 3 != channels:
        weights[_FIRST_CONV] = adapt_channels(weight, channels)
        how = 'summed' if channels == 1 else 'repeated, times 3 / channels'
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
        name: torch.zeros_like(value)
        if name.endswith('weight')
        else torch.full_like(value, _OPEN)
        for name, value in model.state_dict().items()
        if '.gate.' in name and name not in weights
    }
    if added:
        weights |= added
        _log(
            f'{len(added) // 2} gates that the weights lack start open: they '
            'pass everything and learn from there'
        )


def check(
    expected: dict[str, Tensor],
    weights: dict[str, Tensor],
    network: dict[str, Any],
    partly: bool = False,
) -> None:
    """Refuse weights that a backbone cannot take without loss.

    ``weights`` are those for the stages that it has, of the whole ``network``.
    Where they are ``partly`` there, PyTorch names those that are missing.
    """
    ours = describe(expected)
    change = difference(describe(weights), ours)
    if set(change) == {'in_channels'}:
        count = change['in_channels']
        remedy = f"set in_channels={count} in the backbone's config"
        if count == 3:
            remedy += (
                ", or start from the file by init_cfg=dict(type='Pretrained', "
                'checkpoint=...) or VoVNet.from_pretrained, which adapt its '
                'first conv'
            )
        raise CheckpointError(
            f'the checkpoint is for images of {count} channels, and the '
            f'model has in_channels={ours["in_channels"]}: {remedy}'
        )
    if change:
        if 'arch' in change:
            change['arch'] = network['arch']  # by all of its stages
        options = ', '.join(f'{k}={v!r}' for k, v in change.items())
        raise CheckpointError(
            f'the checkpoint holds {_words(network)}, and the model is '
            f"{_words(ours)}: set {options} in the backbone's config"
        )
    missing = [
        name
        for name in expected.keys() - weights.keys()
        if not partly
        and not name.endswith('num_batches_tracked')
        and '.conv_offset.' not in name  # deformable convs start at zero
    ]
    unknown = weights.keys() - expected.keys()
    wrong = [
        f'{name} ({tuple(value.shape)}, not {tuple(expected[name].shape)})'
        for name, value in weights.items()
        if name in expected and value.shape != expected[name].shape
    ]
    lists = {
        'it misses': missing,
        'it has the unknown': unknown,
        'of wrong shape are': wrong,
    }
    faults = [f'{k} {summary(v)}' for k, v in lists.items() if v]
    faults += [
        f"set norm_cfg={norm} in the backbone's config"
        for part, norm in _NORMS.items()
        if any(part in name for name in unknown)
    ]
    if faults:
        raise CheckpointError(
            f'the checkpoint holds {_words(network)}, but {"; ".join(faults)}'
        )


def _log_what_weights_do_not_show(
    model: 'VoVNet', options: dict[str, Any], source: Adapter
) -> None:
    """Set the images that the weights expect; compare hidden options."""
    dialect = source.dialect
    expected: dict[Any, str] = {}
    for code in (dialect, *source.others):
        expected.setdefault(code.pixels_of(options['arch']), code.name)
    model.pixels = tuple(expected)
    if len(expected) == 1:
        said = f'Weights of {dialect.name} expect {model.pixels[0]}'
    else:
        said = (
            'Several codes name their weights as these are; it is a guess '
            'that they expect '
            + ', or else '.join(f'{p} ({n})' for p, n in expected.items())
        )
    _log(f"{said}: see the model's data_preprocessor")
    hidden = dialect.hidden(options['gate'])
    strides = tuple(
        next(m.stride[0] for m in unit.modules() if isinstance(m, nn.Conv2d))
        for unit in model.stem
    )
    present = dict(
        stem_strides=strides,
        pool_padding=model.pool_padding,
        identity=model.arch['identity'],
    )
    if _adds(model, hidden['identity']) == _adds(model, present['identity']):
        present['identity'] = hidden['identity']
    if len(model.stages) == 1 and strides == AUTHORS['stem_strides']:
        present['pool_padding'] = hidden['pool_padding']
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


def _adds(model: 'VoVNet', identity: bool | str) -> list[bool]:
    """Which modules add their input to their output."""
    widths = (model.arch['stem_channels'][-1], *model.arch['out_channels'])
    counts = model.arch['num_modules'][: len(model.stages)]
    return [
        bool(identity) if i else identity == 'every' and before == after
        for before, after, count in zip(
            widths, widths[1:], counts, strict=False
        )
        for i in range(count)
    ]


def _words(options: dict[str, Any]) -> str:
    arch, gate = options['arch'], options['gate']
    if gate == 'none':
        return f'VoVNet {arch}'
    last = options['gate_place'] == 'last'
    place = 'the last module of a stage' if last else 'every module'
    return f'VoVNet {arch} with a gate ({gate}) in {place}'


def _stage(name: str) -> int:
    part, number = name.split('.')[:2]
    return int(number) if part == 'stages' else 0


def _log(message: str, level: int = logging.INFO) -> None:
    print_log(message, logger='current', level=level)
