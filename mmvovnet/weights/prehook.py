"""Weights of other code that load into a backbone, renamed on the way."""

import logging
from typing import TYPE_CHECKING, Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from .adapter import NAMES, OURS, Adapter, detect, summary
from .describe import describe, difference
from .dialects import AUTHORS
from .errors import CheckpointError

if TYPE_CHECKING:
    from mmvovnet.models import VoVNet

# Of an eSE gate relu6(x + 3) / 6 that is open, x = 3, no gradient flows: with
# a bias just below it all passes, and the gate can learn.
_OPEN = 2.999
_NORMS = {'.bn.': "dict(type='BN')", '.gn.': "dict(type='GN', num_groups=...)"}


def translate(
    model: 'VoVNet', state_dict: dict[str, Any], prefix: str
) -> None:
    """Rename the weights that a backbone is about to load, in place.

    What the backbone has no use for is taken out and logged: stages that it
    has not built, and other parts of the model that the weights come from.

    Args:
        model (VoVNet): The backbone.
        state_dict (dict): Weights; those under ``prefix`` are its own.
        prefix (str): Prefix of the backbone.

    Raises:
        CheckpointError: If the weights are those of another network. It says
            of which, and what to set.
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
    theirs = options
    if model.starting:
        theirs = _open_gates(model, weights, theirs)
    unbuilt = [n for n in weights if _stage(n) >= len(model.stages)]
    weights = {n: v for n, v in weights.items() if n not in unbuilt}
    stages = max(map(_stage, weights)) + 1
    expected = {
        name: value
        for name, value in model.state_dict().items()
        if _stage(name) < stages or not plain
    }
    _check(expected, weights, theirs, partly=plain)
    model.pixels = ()  # ours are trained as they are used
    if source.dialect is not OURS:
        _log_what_weights_do_not_show(model, options, source)
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


def _open_gates(
    model: 'VoVNet', weights: dict[str, Tensor], theirs: dict[str, Any]
) -> dict[str, Any]:
    """Add gates that let everything pass where the weights have none.

    timm gates the last module of a stage and V1 none, the authors' V2 every
    one.
    """
    if model.arch['gate'] != 'eSE' or theirs['gate'] not in ('eSE', 'none'):
        return theirs
    added = {
        name: torch.zeros_like(value)
        if name.endswith('weight')
        else torch.full_like(value, _OPEN)
        for name, value in model.state_dict().items()
        if '.gate.' in name and name not in weights
    }
    if not added:
        return theirs
    weights |= added
    _log(
        f'{len(added) // 2} gates that the weights lack start open: they '
        'pass all and learn from there'
    )
    return describe(weights)


def _check(
    expected: dict[str, Tensor],
    weights: dict[str, Tensor],
    theirs: dict[str, Any],
    partly: bool,
) -> None:
    """Refuse weights that the backbone cannot take without loss.

    Args:
        expected (dict[str, Tensor]): Weights of the backbone.
        weights (dict[str, Tensor]): Weights for the stages that it has.
        theirs (dict): What network they come from.
        partly (bool): Whether some may be missing: PyTorch tells that.
    """
    ours = describe(expected)
    change = difference(describe(weights), ours)
    if change:
        if 'arch' in change:
            change['arch'] = theirs['arch']  # by all of its stages
        options = ', '.join(f'{k}={v!r}' for k, v in change.items())
        raise CheckpointError(
            f'the checkpoint holds {_words(theirs)}, and the model is '
            f"{_words(ours)}: set {options} in the backbone's config"
        )
    missing = [
        name
        for name in expected.keys() - weights.keys()
        if not partly
        and not name.endswith('num_batches_tracked')
        and '.conv_offset.' not in name  # deformable convs start at zero
    ]
    unknown = list(weights.keys() - expected.keys())
    wrong = [
        f'{name} ({tuple(value.shape)}, not {tuple(expected[name].shape)})'
        for name, value in weights.items()
        if name in expected and value.shape != expected[name].shape
    ]
    if missing or unknown or wrong:
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
        raise CheckpointError(
            f'the checkpoint holds {_words(theirs)}, as the model is, but '
            + '; '.join(faults)
        )


def _log_what_weights_do_not_show(
    model: 'VoVNet', theirs: dict[str, Any], source: Adapter
) -> None:
    """Compare what the source took for granted, and tell of its images."""
    dialect = source.dialect
    expected: dict[Any, str] = {}
    for code in (dialect, *source.others):
        expected.setdefault(code.pixels_of(theirs['arch']), code.name)
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
    expected_options = dialect.hidden(theirs['gate'])
    strides = tuple(
        next(m.stride[0] for m in unit.modules() if isinstance(m, nn.Conv2d))
        for unit in model.stem
    )
    present = dict(
        stem_strides=strides,
        pool_padding=model.pool_padding,
        identity=model.arch['identity'],
    )
    identities = [
        _adds(model, o['identity']) for o in (expected_options, present)
    ]
    if identities[0] == identities[1]:
        present['identity'] = expected_options['identity']
    if len(model.stages) == 1 and strides == AUTHORS['stem_strides']:
        present['pool_padding'] = expected_options['pool_padding']
    wrong = {k: v for k, v in expected_options.items() if v != present[k]}
    if wrong:
        options = ', '.join(f'{k}={v!r}' for k, v in wrong.items())
        others = ', '.join(f'{k}={present[k]!r}' for k in wrong)
        _log(
            f'{dialect.name} trained this network with {options}, and the '
            f"model has {others}: set {options} in the backbone's config, or "
            'its features differ',
            logging.WARNING,
        )


def _adds(model: 'VoVNet', identity: bool | str) -> list[bool]:
    """Which modules add their input to their output."""
    inputs = (model.arch['stem_channels'][-1], *model.arch['out_channels'])
    adds = []
    stage: Any
    for i, stage in enumerate(model.stages):
        equal = inputs[i] == inputs[i + 1]
        adds.append(identity == 'every' and equal)
        adds += [bool(identity)] * (len(stage.blocks) - 1)
    return adds


def _words(options: dict[str, Any]) -> str:
    places = {'every': 'every module', 'last': 'the last module of a stage'}
    words = f'VoVNet {options["arch"]}'
    if options['gate'] != 'none':
        place = places[options['gate_place']]
        words += f' with a gate ({options["gate"]}) in {place}'
    return words


def _stage(name: str) -> int:
    part, number = name.split('.')[:2]
    return int(number) if part == 'stages' else 0


def _log(message: str, level: int = logging.INFO) -> None:
    print_log(message, logger='current', level=level)
