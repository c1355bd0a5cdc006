"""The safe loader behind mmengine's ``CheckpointLoader``.

Importing this module makes ``load_from``, ``--resume`` and
``init_cfg=dict(type='Pretrained')`` use :func:`mmvovnet.weights.load`.
mmengine's own loaders refuse its checkpoints since PyTorch 2.6, and unpickle
without restriction whatever a URL delivers.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log
from mmengine.runner import (
    CheckpointLoader,
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from mmengine.runner.checkpoint import _process_mmcls_checkpoint
from torch import Tensor

from mmvovnet.weights.adapter import detect, not_finite, summary, unwrap
from mmvovnet.weights.dialects import OURS
from mmvovnet.weights.download import fetch
from mmvovnet.weights.errors import CheckpointError
from mmvovnet.weights.loading import MapLocation, load
from mmvovnet.weights.public import locate, public_files

_ZOOS = {
    'torchvision': get_torchvision_models,
    'modelzoo': get_torchvision_models,
    'open-mmlab': get_external_models,
    'openmmlab': get_external_models,
    'mmcls': get_mmcls_models,
}


@contextmanager
def _main_process_first() -> Iterator[None]:
    """Let the others wait, also where the main process fails."""
    if not is_main_process():
        barrier()
    try:
        yield
    finally:
        if is_main_process():
            barrier()


# mmengine logs the name of a loader without its first ten letters.
@CheckpointLoader.register_scheme('', force=True)
def load_from_local(filename: str, map_location: MapLocation = None) -> dict:
    """Load a local file of any dialect, for mmengine: see :func:`load`."""
    if filename in public_files() and not Path(filename).exists():
        raise CheckpointError(
            f"There is no file '{filename}'. The published weights of this "
            f"name are 'vovnet://{filename}'."
        )
    return _weights(filename, map_location)


@CheckpointLoader.register_scheme(('http://', 'https://'), force=True)
def load_from_http(filename: str, map_location: MapLocation = None) -> dict:
    """Load a URL, for mmengine, by way of torch.hub's cache."""
    with _main_process_first():
        path = fetch(filename)
    try:
        return _weights(path, map_location)
    except CheckpointError as error:  # a cached one would stay for ever
        path.unlink(missing_ok=True)
        raise type(error)(f'{error} It came from {filename}.') from None


@CheckpointLoader.register_scheme([f'{z}://' for z in _ZOOS], force=True)
def load_from_zoo(filename: str, map_location: MapLocation = None) -> dict:
    """Load a model that mmengine's lists name, for mmengine."""
    zoo, name = filename.split('://')
    if _ZOOS[zoo] is get_external_models:
        name = get_deprecated_model_names().get(name, name)
    url = _ZOOS[zoo]()[name]
    checkpoint = CheckpointLoader.load_checkpoint(url, map_location)
    backbone = _process_mmcls_checkpoint
    return backbone(checkpoint) if zoo == 'mmcls' else checkpoint


@CheckpointLoader.register_scheme(
    ('vovnet://', 'timm://', 'timm/', 'hf-hub:', 'hf_hub:'), force=True
)
def load_from_name(filename: str, map_location: MapLocation = None) -> dict:
    """Load published weights, for mmengine: see :mod:`.weights.public`."""
    with _main_process_first():
        path, row = locate(filename)
    if row:
        print_log(
            f'{row.name} of {row.source}: VoVNet with {row.options}, for '
            f'{row.pixels}',
            logger='current',
        )
    return _weights(path, map_location)


def _weights(path: str | Path, map_location: MapLocation) -> Any:
    checkpoint = load(path, map_location)
    state = unwrap(checkpoint) if isinstance(checkpoint, Mapping) else {}
    if not state:
        raise CheckpointError(f"'{path}' holds no weights")
    if isinstance(meta := checkpoint.get('meta'), dict):
        meta.pop('config', None)  # mmengine runs this text when it resumes
    return to_openmmlab(checkpoint)


def to_openmmlab(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a checkpoint the form that mmengine, mmdet and mmpretrain expect.

    Heads get their names. A bare backbone is put under ``backbone.``; any
    other stays where it is. Checkpoints of this package's models, and those
    without a VoVNet, stay as they are.

    Raises:
        CheckpointError: If a value is no weight.
    """
    state = unwrap(checkpoint)
    if broken := not_finite(state):
        print_log(
            f'NaN or infinite weights: {summary(broken)}',
            logger='current',
            level=logging.WARNING,
        )
    try:
        adapter = detect(state)
    except CheckpointError:  # several, as in a teacher and its student
        adapter = None
    if adapter is None or (adapter.dialect is OURS and adapter.prefix):
        if state is checkpoint or state is checkpoint.get('state_dict'):
            return checkpoint
        rest = {
            key: value
            for key, value in checkpoint.items()
            if key != 'model' and not isinstance(value, Tensor | np.ndarray)
        }
        return rest | {'state_dict': state}
    renamed = {}
    for name, value in state.items():
        if adapter.in_backbone(name) is not None:
            inner = name.removeprefix(adapter.prefix)
            renamed[(adapter.prefix or 'backbone.') + inner] = value
        else:
            renamed |= adapter.to_ours({name: value}) or {name: value}
    return {'meta': checkpoint.get('meta', {}), 'state_dict': renamed}
