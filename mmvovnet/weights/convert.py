"""Conversion of checkpoints between dialects, by names alone."""

import io
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmvovnet.fileio import keep_apart, part_folder, write
from mmvovnet.models import VoVNet

from .adapter import Adapter, detect, not_finite, summary, target, unwrap
from .backbone import require_all, stage_of
from .describe import describe
from .dialects import IMAGENET, NAMES
from .errors import CheckpointError
from .loading import load


def convert(
    checkpoint: Mapping[str, Any], to: str = 'mmvovnet'
) -> dict[str, Tensor]:
    """Convert a checkpoint from any dialect to another.

    Bare backbones stay bare. A whole model gets the names of mmpretrain's
    ``ImageClassifier`` or of mmdet's detectors, or those of the other code.
    What has no name there is left out, and the log says so. Of any other
    model, such as PETR, the backbone is converted and the rest stays.

    Args:
        checkpoint (Mapping): A state dict of tensors or numpy arrays, or a
            dict that holds one as 'state_dict' or 'model'.
        to (str): A dialect of docs/checkpoints.md. Defaults to ours.

    Returns:
        dict[str, Tensor]: A state dict, of the same values.

    Raises:
        CheckpointError: The checkpoint holds no VoVNet, or one that the
            dialect cannot express.
        ValueError: There is no such dialect.

    Example:
        >>> from mmvovnet import VoVNet
        >>> weights = VoVNet('V-27-slim').state_dict()
        >>> next(iter(convert(weights, to='torchvision')))
        'stem.stem_1/conv.weight'
    """
    state = unwrap(checkpoint)
    source = _detect(state)
    ours = source.to_ours(state)
    to_target = target(to, source.our_prefix, ours)
    unused = [
        name
        for name in state
        if (our_name := source.rename(name)) is None
        or to_target.rename(our_name, to_ours=False) is None
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
    if source := detect(state):
        return source
    raise CheckpointError(
        f'no VoVNet in a checkpoint whose names begin {list(state)[:3]}; '
        f'known are the names of {", ".join(NAMES)}'
    )


def convert_file(
    source: str | Path, target: str | Path, to: str = 'mmvovnet'
) -> list[Path]:
    """Convert a file that :func:`load` reads, by :func:`convert`.

    Args:
        source (str | Path): The file.
        target (str | Path): Where to write the state dict; the ending
            '.safetensors' chooses that format.
        to (str): A dialect of docs/checkpoints.md. Defaults to ours.

    Returns:
        list[Path]: The file that was written.

    Raises:
        CheckpointError: As of :func:`load` and :func:`convert`; or a weight of
            the backbone is missing, of another shape, NaN or infinite.
        ValueError: The target is the source.
    """
    keep_apart([target], [source])
    _save(convert(_load_whole(source), to), target)
    return [Path(target)]


def _load_whole(path: str | Path) -> Mapping[str, Any]:
    """Load finite weights, and a complete backbone among them."""
    state = unwrap(load(path, 'cpu'))
    if broken := not_finite(state):
        raise CheckpointError(f'NaN or infinite weights: {summary(broken)}')
    weights = _detect(state).backbone(state)
    options = describe(weights)
    last = max(map(stage_of, weights))
    if any('.gn.' in name for name in weights):
        options['norm_cfg'] = dict(type='GN', num_groups=1)
    with torch.device('meta'):
        network = VoVNet(**options, out_indices=(last,))
    dense = {n: v for n, v in weights.items() if '.conv_offset.' not in n}
    require_all(network.state_dict(), dense, options)
    return state


def _save(state: Mapping[str, Tensor], target: str | Path) -> None:
    if Path(target).suffix != '.safetensors':
        file = io.BytesIO()
        torch.save(state, file)
        write(target, file.getvalue())
        return
    import safetensors.torch

    # It refuses tensors that share memory; timm asks for the metadata.
    form = torch.contiguous_format
    apart = {k: v.clone(memory_format=form) for k, v in state.items()}
    write(target, safetensors.torch.save(apart, metadata={'format': 'pt'}))


def write_hub_folder(source: str | Path, folder: str | Path) -> list[Path]:
    """Write a folder as timm saves a model for the hub; it needs timm.

    Weights that expect BGR images get the channels of their first conv
    reversed, as timm's images are RGB.
    """
    import timm

    files = [Path(folder, 'config.json'), Path(folder, 'model.safetensors')]
    keep_apart(files, [source])
    weights = _load_whole(source)
    adapter = _detect(weights)
    options = adapter.options(weights)
    state = convert(weights, 'timm')
    order, *values = adapter.dialect.pixels_of(options['arch']) or IMAGENET
    mean, std = (tuple(round(x / 255, 6) for x in each) for each in values)
    if order == 'BGR':
        first = 'stem.0.conv.weight'
        state[first] = state[first].flip(1)
        mean, std = mean[::-1], std[::-1]
    head = state.get('head.fc.weight', ())
    kind = dict(num_classes=len(head), in_chans=options['in_channels'])
    names = timm.list_models('*vovnet*')
    for name in names:
        with torch.device('meta'):
            model: Any = timm.create_model(name, **kind)
        with suppress(RuntimeError):  # of another network
            model.load_state_dict(state, assign=True)
            break
    else:
        raise CheckpointError(
            f'timm has no VoVNet with {options}; it has {names}'
        )
    if name.endswith('a') and options['identity']:
        print_log(
            f"timm's {name} adds no identity: weights that were trained with "
            'one, as by default, have other features there',
            logger='current',
            level=logging.WARNING,
        )
    model.float()
    model.pretrained_cfg = model.pretrained_cfg | dict(mean=mean, std=std)
    Path(folder).mkdir(parents=True, exist_ok=True)
    with part_folder(folder) as parts:
        timm.models.save_for_hf(model, str(parts), safe_serialization=True)
        for file in files:
            (parts / file.name).replace(file)
    return files
