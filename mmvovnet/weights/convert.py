"""Conversion of checkpoints between dialects, by names alone."""

import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmvovnet.fileio import keep_apart, write
from mmvovnet.models import VoVNet

from .adapter import backbone, detect, not_finite, summary, target, unwrap
from .describe import describe
from .dialects import IMAGENET, NAMES
from .errors import CheckpointError
from .loading import load
from .prehook import check

# Our arch and gate, and timm's name of the network.
_TIMM_NAMES = {
    ('V-39', 'none'): 'vovnet39a',
    ('V-57', 'none'): 'vovnet57a',
    ('V-39', 'ECA'): 'eca_vovnet39b',
    ('V-19-slim-dw-eSE', 'eSE'): 'ese_vovnet19b_slim_dw',
    ('V-19-dw-eSE', 'eSE'): 'ese_vovnet19b_dw',
    ('V-19-slim-eSE', 'eSE'): 'ese_vovnet19b_slim',
    ('V-39-eSE', 'eSE'): 'ese_vovnet39b',
    ('V-57-eSE', 'eSE'): 'ese_vovnet57b',
    ('V-99-eSE', 'eSE'): 'ese_vovnet99b',
}


def convert(
    checkpoint: Mapping[str, Any], to: str = 'mmvovnet'
) -> dict[str, Tensor]:
    """Convert a checkpoint from any dialect to another.

    A bare backbone stays one. A whole model, or its heads alone, gets the
    names of mmpretrain's ``ImageClassifier`` or of mmdet's detectors, or those
    of the other code. What has no name there is left out, and the log says so.
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
        CheckpointError: The checkpoint holds no VoVNet, or one that the
            dialect cannot express.
        ValueError: There is no such dialect.

    Example:
        >>> from mmvovnet import VoVNet
        >>> weights = VoVNet('V-27-slim').state_dict()
        >>> converted = convert(weights, to='torchvision')
        >>> next(iter(converted))
        'stem.stem_1/conv.weight'
        >>> convert(converted).keys() == weights.keys()
        True
    """
    state = unwrap(checkpoint)
    source = detect(state)
    if source is None:
        raise CheckpointError(
            f'no VoVNet in a checkpoint whose names begin {list(state)[:3]}; '
            f'known are the names of {", ".join(NAMES)}'
        )
    ours = source.to_ours(state)
    to_target = target(to, source.our_prefix, ours)
    unused = [
        name
        for name in state
        if (our_name := source.name_to_ours(name)) is None
        or to_target.name_from_ours(our_name) is None
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


def convert_file(
    source: str | Path, target: str | Path, to: str = 'mmvovnet'
) -> list[Path]:
    """Convert a file by :func:`convert`, if it is whole.

    Args:
        source (str | Path): A file that :func:`mmvovnet.weights.load` reads.
        target (str | Path): Where to write the state dict, all of it or
            nothing; the ending '.safetensors' chooses that format.
        to (str): Name of a dialect. Defaults to 'mmvovnet', ours.

    Returns:
        list[Path]: The file.

    Raises:
        CheckpointError: As of :func:`mmvovnet.weights.load` and
            :func:`convert`; or a weight is NaN or infinite, or the backbone
            lacks a weight or has one of another shape.
        ValueError: The target is the source.
    """
    keep_apart([target], [source])
    checkpoint = load(source, 'cpu')
    _require_whole(checkpoint)
    _save(convert(checkpoint, to), target)
    return [Path(target)]


def _require_whole(checkpoint: Mapping[str, Any]) -> None:
    """Refuse NaN and infinity, and a backbone that is not complete."""
    state = unwrap(checkpoint)
    if broken := not_finite(state):
        raise CheckpointError(f'NaN or infinite weights: {summary(broken)}')
    source = detect(state)
    weights = source.backbone(state) if source else {}
    if not weights:
        return
    options = describe(weights)
    stages = [int(k.split('.')[1]) for k in weights if k.startswith('stages')]
    if any('.gn.' in name for name in weights):
        options['norm_cfg'] = dict(type='GN', num_groups=1)
    with torch.device('meta'):
        network = VoVNet(**options, out_indices=(max(stages),))
    dense = {n: v for n, v in weights.items() if '.conv_offset.' not in n}
    check(network.state_dict(), dense, options)


def _save(state: Mapping[str, Tensor], target: str | Path) -> None:
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


def write_hub_folder(source: str | Path, folder: str | Path) -> list[Path]:
    """Write weights as timm loads them from a folder or from the hub.

    ``timm.create_model('local-dir:FOLDER', pretrained=True)`` reads it; pushed
    to the hub, ``'hf-hub:USER/REPOSITORY'`` does, and so does
    :meth:`mmvovnet.VoVNet.from_pretrained`. Weights that expect BGR images get
    the channels of their first conv reversed, as timm's images are RGB.

    Args:
        source (str | Path): A backbone or classifier of any dialect.
        folder (str | Path): Where ``config.json`` and ``model.safetensors``
            go.

    Returns:
        list[Path]: The two files.

    Raises:
        CheckpointError: timm has no such network.
        ValueError: One of the files is the source.
    """
    files = [Path(folder, 'config.json'), Path(folder, 'model.safetensors')]
    keep_apart(files, [source])
    checkpoint = load(source, 'cpu')
    state = convert(checkpoint, 'timm')
    found = backbone(checkpoint)
    assert found  # or convert() had found nothing
    options, dialect = found.options, found.adapter.dialect
    name = _timm_name(options)
    if name.endswith('a') and not dialect.ungated:
        print_log(
            f"timm's {name} adds no identity: what was trained with one, as "
            'VoVNet does by default, has other features there',
            logger='current',
            level=logging.WARNING,
        )
    pixels = dialect.pixels_of(options['arch']) or IMAGENET
    # timm's pixels are RGB of 0 to 1.
    mean, std = (
        [round(value / 255, 6) for value in values]
        for values in (pixels.mean, pixels.std)
    )
    first = 'stem.0.conv.weight'
    if pixels.order == 'BGR':
        state[first] = state[first].flip(1)
        mean, std = mean[::-1], std[::-1]
    head = state.get('head.fc.weight')
    classes = 0 if head is None else head.shape[0]
    last = [k for k in state if k.endswith('conv_concat.conv.weight')][-1]
    config = dict(
        architecture=name,
        num_classes=classes,
        num_features=state[last].shape[0],
        pretrained_cfg=dict(
            input_size=[state[first].shape[1], 224, 224],
            interpolation='bicubic',
            crop_pct=0.875,
            mean=mean,
            std=std,
            num_classes=classes,
            pool_size=[7, 7],
            first_conv='stem.0.conv',
            classifier='head.fc',
        ),
    )
    _save(state, files[1])
    write(files[0], json.dumps(config, indent=2).encode())
    return files


def _timm_name(options: dict[str, Any]) -> str:
    arch, gate, place, bottleneck = (
        options[key] for key in ('arch', 'gate', 'gate_place', 'bottleneck')
    )
    # Where a stage has one module, every one is the last.
    single = str(arch).startswith('V-19')
    name = _TIMM_NAMES.get((str(arch), gate))
    gated = gate != 'none' and not single and place != 'last'
    if name is None or gated or bottleneck:
        raise CheckpointError(
            f'timm has no VoVNet {arch} with gate={gate!r}, '
            f'gate_place={place!r}, bottleneck={bottleneck}; it has '
            f'{list(_TIMM_NAMES.values())}'
        )
    return name
