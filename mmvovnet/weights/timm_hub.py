"""Weights in the layout that timm and the Hugging Face hub share."""

import json
import logging
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from torch import Tensor

from mmvovnet.fileio import write

from .adapter import backbone
from .convert import convert, save_state
from .dialects import IMAGENET
from .errors import CheckpointError
from .loading import load

# Our arch and gate, and timm's name of the network.
_NAMES = {
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
_FIRST_CONV = 'stem.0.conv.weight'


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
        CheckpointError: If timm has no such network.
    """
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
    mean, std = list(pixels.mean), list(pixels.std)
    if pixels.order == 'BGR':
        state[_FIRST_CONV] = state[_FIRST_CONV].flip(1)
        mean, std = mean[::-1], std[::-1]
    files = [Path(folder, 'config.json'), Path(folder, 'model.safetensors')]
    config = _config(name, state, mean, std)
    save_state(state, files[1])
    write(files[0], json.dumps(config, indent=2).encode())
    return files


def _timm_name(options: dict[str, Any]) -> str:
    arch, gate, place, bottleneck = (
        options[key] for key in ('arch', 'gate', 'gate_place', 'bottleneck')
    )
    # Where a stage has one module, every one is the last.
    single = str(arch).startswith('V-19')
    name = _NAMES.get((str(arch), gate))
    gated = gate != 'none' and not single and place != 'last'
    if name is None or gated or bottleneck:
        raise CheckpointError(
            f'timm has no VoVNet {arch} with gate={gate!r}, '
            f'gate_place={place!r}, bottleneck={bottleneck}; it has '
            f'{list(_NAMES.values())}'
        )
    return name


def _config(
    name: str, state: dict[str, Tensor], mean: list[float], std: list[float]
) -> dict[str, Any]:
    """What timm reads of a model beside its weights; it divides by 255."""
    head = state.get('head.fc.weight')
    classes = 0 if head is None else head.shape[0]
    last = [k for k in state if k.endswith('conv_concat.conv.weight')][-1]
    return dict(
        architecture=name,
        num_classes=classes,
        num_features=state[last].shape[0],
        pretrained_cfg=dict(
            tag='mmvovnet',
            custom_load=False,
            input_size=[3, 224, 224],
            fixed_input_size=False,
            interpolation='bicubic',
            crop_pct=0.875,
            crop_mode='center',
            mean=[round(value / 255, 6) for value in mean],
            std=[round(value / 255, 6) for value in std],
            num_classes=classes,
            pool_size=[7, 7],
            first_conv='stem.0.conv',
            classifier='head.fc',
        ),
    )
