"""Detectors as one file: weights, and what is needed to use them.

The file is a checkpoint, for those who have the config, and also says what
:func:`build_published` builds the detector from. That is data: a file that
asks for anything but layers of the registries is refused.
"""

import hashlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, TASK_UTILS, Registry
from torch import nn

from mmvovnet.apis import build_model
from mmvovnet.fileio import write
from mmvovnet.registry import LazyRegistry
from mmvovnet.tasks import dicts, pipeline_of, require
from mmvovnet.weights import CheckpointError, UnsafeCheckpointError, load

_KEY = 'mmvovnet_detector'
_WORD = re.compile(r'[\w.\-]*')
# Which mmcv and mmdet look up in mmcv.ops.
_OPERATIONS = {'nms', 'soft_nms', 'RoIAlign', 'RoIPool'}
# Steps of a test pipeline that a file may name.
_STEPS = {'LoadImageFromFile', 'Resize', 'Pad', 'PackDetInputs'}
# Options of training alone, and those that name files.
_UNUSED = (
    'init_cfg',
    'train_cfg',
    'pretrained',
    'checkpoint',
    'backend_args',
    'file_client_args',
)


def publish(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike,
    target: str | os.PathLike,
) -> Path:
    """Write a trained detector or classifier as one file.

    Optimizer state and logs are left out.

    Args:
        config (str | PathLike): The config that it was trained with.
        checkpoint (str | PathLike): Its weights.
        target (str | PathLike): Beginning of the file's name, such as
            ``models/fcos_vovnet39``.

    Returns:
        Path: The file, such as ``models/fcos_vovnet39-0123abcd.pth``, with
        digits of its SHA-256, which ``torch.hub`` checks.

    Raises:
        CheckpointError: If the weights are not those of the config's model.
        ValueError: If the config is of another library, or a file cannot
            carry its test pipeline.
    """
    cfg = Config.fromfile(config)
    scope = require(cfg, ('mmdet', 'mmpretrain'), 'publishing')
    meta: dict[str, Any] = {}
    if scope == 'mmdet':
        meta[_KEY] = dict(model=cfg.model.to_dict(), pipeline=_pipeline(cfg))
        for _, part in dicts(meta[_KEY]):
            for key in _UNUSED:
                part.pop(key, None)
    model: Any = build_model(cfg, str(checkpoint))
    meta['dataset_meta'] = dict(classes=model.dataset_meta['classes'])
    content = io.BytesIO()
    torch.save(dict(meta=meta, state_dict=model.state_dict()), content)
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:8]
    target = Path(target)
    path = target.with_name(f'{target.name.removesuffix(".pth")}-{digest}.pth')
    write(path, content.getvalue())
    return path


def build_published(path: str | os.PathLike) -> nn.Module:
    """Build the detector of a file that :func:`publish` wrote.

    Returns:
        nn.Module: As :func:`mmvovnet.apis.build_model` returns it.

    Raises:
        UnsafeCheckpointError: If the file asks for what is no layer.
        CheckpointError: If it names no detector, or has other weights.
    """
    import mmdet.registry  # noqa: F401 - whose layers _check() looks up

    checkpoint = load(Path(path), 'cpu')
    meta = checkpoint.get('meta', {})
    if _KEY not in meta:
        raise CheckpointError(
            f"'{path}' does not say of which detector it is: give its config, "
            'or make a file that does by tools/publish_model.py'
        )
    info = meta[_KEY]
    _check(info, path)
    dataset = dict(
        metainfo=dict(classes=list(meta['dataset_meta']['classes'])),
        pipeline=info['pipeline'],
    )
    cfg = dict(
        default_scope='mmdet',
        model=dict(info['model'], train_cfg=None),
        test_dataloader=dict(dataset=dataset),
    )
    model = build_model(Config(cfg))
    try:
        model.load_state_dict(checkpoint['state_dict'])
    except RuntimeError as error:
        raise CheckpointError(
            f"'{path}' holds other weights than those of its model: {error}"
        ) from error
    return model


def _pipeline(cfg: Config) -> list[dict[str, Any]]:
    """The test pipeline without annotations, its steps by their bare names."""
    steps = [
        step.to_dict() | {'type': step['type'].removeprefix('mmdet.')}
        for step in pipeline_of(cfg)
        if 'Annotations' not in step['type']
    ]
    if others := [s['type'] for s in steps if s['type'] not in _STEPS]:
        raise ValueError(
            f"'{cfg.filename}' has the steps {others} in its test pipeline, "
            f'and a file can carry {sorted(_STEPS)}'
        )
    return steps


def _check(description: Any, path: str | os.PathLike) -> None:
    """Refuse what does not describe layers.

    Registries import whatever a dotted ``type`` names, and mmcv evaluates the
    name of an NMS, so that a description could otherwise run code.
    """
    known = {*_OPERATIONS, *_registered(MODELS), *_registered(TASK_UTILS)}
    known |= _STEPS
    stack = [description]
    while stack:
        value = stack.pop()
        if isinstance(value, dict) and str(value.get('type', 'nms')) in known:
            stack += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            stack += value
        elif not (
            _WORD.fullmatch(value)
            if isinstance(value, str)
            else isinstance(value, int | float | None)
        ):
            raise UnsafeCheckpointError(
                f"'{path}' describes its detector by {value!r:.99}, which is "
                'neither a layer of the registries nor a name nor a number; '
                'nothing was built'
            )


def _registered(registry: Registry) -> Iterator[str]:
    """Names in a registry and its children, with and without their scope."""
    registry.import_from_location()
    if isinstance(registry, LazyRegistry):
        list(registry.import_lazily())
    for name in list(registry.module_dict):
        yield from (name, f'{registry.scope}.{name}')
    for child in list(registry.children.values()):  # an import adds some
        yield from _registered(child)
