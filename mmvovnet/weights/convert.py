"""Conversion of checkpoints between dialects, by names alone."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmvovnet.fileio import write
from mmvovnet.models import VoVNet

from .adapter import (
    NAMES,
    Adapter,
    detect,
    not_finite,
    summary,
    target,
    unwrap,
)
from .describe import describe
from .errors import CheckpointError
from .loading import load

# Names that depend on options which weights do not show.
_OPTIONAL = ('num_batches_tracked', '.conv_offset.', '.gn.', '.bn.')


def convert(
    checkpoint: Mapping[str, Any], to: str = 'mmvovnet'
) -> dict[str, Tensor]:
    """Convert a checkpoint from any dialect to another.

    A bare backbone stays one. A whole model, or its heads alone, gets the
    names of mmpretrain's ``ImageClassifier`` or of mmdet's detectors, or those
    of their peers. What has no name there is left out, and the log says so.
    Of any other model, as PETR with its ``img_backbone``, the backbone is
    converted and everything else stays as it is.

    Args:
        checkpoint (Mapping): A state dict of tensors or numpy arrays, or a
            dict that holds one as 'state_dict' or 'model'.
        to (str): Name of a dialect in
            :data:`mmvovnet.weights.dialects.DIALECTS`. Defaults to
            'mmvovnet', ours.

    Returns:
        dict[str, Tensor]: A state dict, of the same values.

    Raises:
        CheckpointError: If the checkpoint holds no VoVNet, or one that the
            dialect cannot express.
        ValueError: If there is no such dialect.

    Example:
        >>> from mmvovnet import VoVNet
        >>> weights = VoVNet('V-27-slim').state_dict()
        >>> theirs = convert(weights, to='torchvision')
        >>> next(iter(theirs))
        'stem.stem_1/conv.weight'
        >>> convert(theirs).keys() == weights.keys()
        True
    """
    state = unwrap(checkpoint)
    source = _detect(state)
    ours = source.to_ours(state)
    to_target = target(to, source.our_prefix, ours)
    names = {name: source.name_to_ours(name) for name in state}
    unused = [
        name
        for name, our_name in names.items()
        if our_name is None or to_target.name_from_ours(our_name) is None
    ]
    if lost := [name for name in unused if source.in_backbone(name)]:
        raise CheckpointError(
            f'{to} has no such part as {summary(lost)}; choose one of the '
            f'other dialects: {", ".join(NAMES)}'
        )
    if unused:
        print_log(
            f'Left out, as {to} has no such part: {summary(unused)}',
            logger='current',
        )
    return to_target.from_ours(ours)


def _detect(state: Mapping[str, Any]) -> Adapter:
    adapter = detect(state)
    if adapter is None:
        raise CheckpointError(
            f'no VoVNet in a checkpoint whose names begin {list(state)[:3]}; '
            f'known are the names of {", ".join(NAMES)}'
        )
    return adapter


def convert_file(
    source: str | Path, target: str | Path, to: str = 'mmvovnet'
) -> list[Path]:
    """Convert a file: see :func:`convert`.

    Args:
        source (str | Path): A file that :func:`mmvovnet.weights.load`
            reads.
        target (str | Path): Where to write the state dict, all of it or
            nothing; the ending '.safetensors' chooses that format.
        to (str): Name of a dialect. Defaults to 'mmvovnet', ours.

    Returns:
        list[Path]: The file.

    Raises:
        CheckpointError: As of :func:`mmvovnet.weights.load`,
            :func:`convert` and :func:`require_whole`.
    """
    checkpoint = load(source, 'cpu')
    require_whole(checkpoint)
    save_state(convert(checkpoint, to), target)
    return [Path(target)]


def require_whole(checkpoint: Mapping[str, Any]) -> None:
    """Refuse the weights of a part of a network, or of none.

    Args:
        checkpoint (Mapping): As of :func:`convert`.

    Raises:
        CheckpointError: If a weight is NaN or infinite, or the backbone lacks
            a weight or has one of another shape.

    Example:
        >>> require_whole(VoVNet('V-27-slim').state_dict())
    """
    state = unwrap(checkpoint)
    if broken := not_finite(state):
        raise CheckpointError(f'NaN or infinite weights: {summary(broken)}')
    weights = _detect(state).backbone(state)
    options = describe(weights)
    stages = [int(k.split('.')[1]) for k in weights if k.startswith('stages')]
    with torch.device('meta'):
        network = VoVNet(**options, out_indices=(max(stages),))
    given = {name: tuple(value.shape) for name, value in weights.items()}
    wrong = []
    for name, value in network.state_dict().items():
        shape = tuple(value.shape)
        if name not in given and not any(part in name for part in _OPTIONAL):
            wrong.append(f'{name} (missing)')
        elif given.get(name, shape) != shape:
            wrong.append(f'{name} {given[name]} (not {shape})')
    if wrong:
        raise CheckpointError(
            f'these are no whole VoVNet {options["arch"]}: {summary(wrong)}'
        )


def save_state(state: Mapping[str, Tensor], target: str | Path) -> None:
    """Write a state dict, all of it or nothing.

    Args:
        state (Mapping): Tensors by name.
        target (str | Path): The file; the ending '.safetensors' chooses that
            format.
    """
    if Path(target).suffix == '.safetensors':
        import safetensors.torch

        # It refuses tensors that share memory; timm asks for the metadata.
        content = safetensors.torch.save(
            {
                name: value.clone(memory_format=torch.contiguous_format)
                for name, value in state.items()
            },
            metadata={'format': 'pt'},
        )
    else:
        file = io.BytesIO()
        torch.save(state, file)
        content = file.getvalue()
    write(target, content)
