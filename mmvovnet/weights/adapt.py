"""Weights renamed while they load, from a file or in Python.

A file passes :func:`to_openmmlab`, which gives it the form of OpenMMLab's
checkpoints. The backbone's weights keep their names in that: they are renamed
by :func:`translate` when they reach the backbone, where it is known what they
have to fit. That works without a file, too.
"""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmvovnet.models import VoVNet

from .convert import (
    NAMES,
    WRAPPERS,
    Translation,
    as_tensor,
    find,
    not_finite,
    summary,
    unwrap,
)
from .describe import describe, difference
from .dialects import AUTHORS, DIALECTS, Pixels
from .errors import CheckpointError
from .naming import fits

_OURS = DIALECTS[0]
OPEN = 2.999
_NORMS = {'.bn.': "dict(type='BN')", '.gn.': "dict(type='GN', num_groups=...)"}


def to_openmmlab(checkpoint: Any) -> Any:
    """Give a checkpoint the form that mmengine, mmdet and mmpretrain expect.

    Heads get their names. A bare backbone is put under ``backbone.``; any
    other stays where it is. Checkpoints of this package's models, and those
    without a VoVNet, stay as they are.

    Args:
        checkpoint: What a file holds.

    Returns:
        The checkpoint, or a dict that holds the weights as 'state_dict'.

    Raises:
        CheckpointError: If a value is no weight.
    """
    if not isinstance(checkpoint, Mapping):
        return checkpoint
    state = unwrap(checkpoint)
    _warn_of_nan(state)
    try:
        source = find(state)
    except CheckpointError:  # several, as in a teacher and its student
        source = None
    if source is None or (source.dialect is _OURS and source.prefix):
        if state is checkpoint or state is checkpoint.get('state_dict'):
            return checkpoint
        rest = any(isinstance(checkpoint.get(k), Mapping) for k in WRAPPERS)
        kept = checkpoint if rest else {}
        return {k: v for k, v in kept.items() if k != 'model'} | {
            'state_dict': state
        }
    constants = [n for n in state if fits(n, source.dialect.constants)]
    renamed = {}
    for name, value in state.items():
        if source.in_backbone(name) is not None:
            inner = name.removeprefix(source.prefix)
            renamed[(source.prefix or 'backbone.') + inner] = value
        elif name not in constants:
            ours = source.to_ours(name) or name
            if ours != name:
                value = source.value_to_ours(ours, as_tensor(name, value))
            renamed[ours] = value
    if constants:
        _log(f'Left out, as they are no weights: {summary(constants)}')
    return {'meta': checkpoint.get('meta', {}), 'state_dict': renamed}


def translate(model: VoVNet, state_dict: dict[str, Any], prefix: str) -> None:
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
    source = find(given, place=prefix)
    if source is None:
        if given and not given.keys() & model.state_dict().keys():
            raise CheckpointError(
                'the checkpoint holds no VoVNet: the names for the backbone '
                f'begin {list(given)[:3]}; known are those of '
                f'{", ".join(NAMES)}'
            )
        return
    plain = source.dialect is _OURS and not source.prefix
    weights, others = {}, []
    for name, value in given.items():
        ours = source.in_backbone(name)
        if ours is not None:
            weights[ours] = as_tensor(name, value)
        elif not plain:
            others.append(name)
    try:
        theirs = describe(weights)
    except CheckpointError:
        if plain:
            return  # a part of our own weights, which PyTorch may allow
        raise
    told = theirs
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
    if source.dialect is not _OURS:
        _tell_what_weights_cannot(model, told, source)
    for name, counter in model.named_buffers():
        if name.endswith('num_batches_tracked'):
            weights.setdefault(name, counter)  # frozen norms have none

    for name in given:
        if not plain or source.in_backbone(name) is not None:
            del state_dict[prefix + name]
    state_dict.update({prefix + name: v for name, v in weights.items()})
    if model.starting:
        _log(f'The backbone starts from {len(expected)} weights of the file')
    if others or unbuilt:
        _log(f'Not used by the backbone: {summary(others + unbuilt)}')


def _open_gates(
    model: VoVNet, weights: dict[str, Tensor], theirs: dict[str, Any]
) -> dict[str, Any]:
    """Add gates that let everything pass where the weights have none.

    timm gates the last module of a stage and V1 none, the authors' V2 every
    one. Of an eSE gate relu6(x + 3) / 6 that is open, x = 3, no gradient
    would flow: a bias just below it can learn.
    """
    if model.arch['gate'] != 'eSE' or theirs['gate'] not in ('eSE', 'none'):
        return theirs
    added = {
        name: torch.zeros_like(value)
        if name.endswith('weight')
        else torch.full_like(value, OPEN)
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


def _tell_what_weights_cannot(
    model: VoVNet, theirs: dict[str, Any], source: Translation
) -> None:
    """Compare what the source took for granted, and tell of its images."""
    dialect = source.dialect
    expected: dict[Pixels, str] = {}
    for code in (dialect, *source.others):
        known = (p for arch, p in code.other_pixels if arch == theirs['arch'])
        pixels = next(known, code.pixels)
        expected.setdefault(pixels, code.name)
    model.pixels = tuple(expected)
    if len(expected) == 1:
        told = f'Weights of {dialect.name} expect {model.pixels[0]}'
    else:
        told = (
            'Several codes name their weights as these are; it is a guess '
            'that they expect '
            + ', or else '.join(f'{p} ({n})' for p, n in expected.items())
        )
    _log(f"{told}: see the model's data_preprocessor")
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


def _adds(model: VoVNet, identity: bool | str) -> list[bool]:
    """Which modules add their input to their output."""
    inputs = (model.arch['stem_channels'][-1], *model.arch['out_channels'])
    adds = []
    for i, stage in enumerate(model.stages):
        equal = inputs[i] == inputs[i + 1]
        adds.append(identity == 'every' and equal)
        adds += [bool(identity)] * (len(stage.blocks) - 1)
    return adds


def _words(options: dict[str, Any]) -> str:
    place = {'every': 'every module', 'last': 'the last module of a stage'}
    words = f'VoVNet {options["arch"]}'
    if options['gate'] != 'none':
        place = place[options['gate_place']]
        words += f' with a gate ({options["gate"]}) in {place}'
    return words


def _stage(name: str) -> int:
    part, number = name.split('.')[:2]
    return int(number) if part == 'stages' else 0


def _warn_of_nan(state: dict[str, Any]) -> None:
    if broken := not_finite(state):
        _log(f'NaN or infinite weights: {summary(broken)}', logging.WARNING)


def _log(message: str, level: int = logging.INFO) -> None:
    print_log(message, logger='current', level=level)
