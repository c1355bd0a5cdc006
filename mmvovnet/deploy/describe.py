"""What happens to an image before a detector, and to the boxes after it.

An exported file holds it as metadata, by which
:class:`.inference.detector.Detector` prepares images. What these cannot say is
refused by name.
"""

from inspect import signature
from typing import Any

from mmcv.transforms import LoadImageFromFile, Pad, Resize
from mmengine.config import Config
from torch import nn

from mmvovnet.tasks import pipeline_of

from .inference.detector import COLOR_TYPES

# Steps in their order, ...
_STEPS = {kind.__name__: kind for kind in (LoadImageFromFile, Resize, Pad)}
# ... options that a file says, or that change neither image nor boxes, ...
_FREE = {'color_type', 'scale', 'keep_ratio', 'size', 'size_divisor'}
_FREE |= {'pad_val', 'backend_args', 'file_client_args', 'ignore_empty'}
_FREE |= {'clip_object_border'}
# ... and steps that don't either.
_PASSED = {'LoadAnnotations', 'LoadPanopticAnnotations', 'PackDetInputs'}


def describe_images(cfg: Config) -> dict[str, Any]:
    """Say what a detector's test pipeline does to an image.

    Returns:
        dict: ``color_type`` as mmcv's ``imread`` knows it; ``scale``, the
        (width, height) to which images are resized, and whether they
        ``keep_ratio`` and just fit into it; ``pad_size``, the (width, height)
        to which they are padded then, or None, or ``pad_divisor``, of which
        their sides become multiples; ``pad_value`` of each channel.

    Raises:
        ValueError: If the pipeline has another step or option.
    """
    named = [(s['type'].removeprefix('mmdet.'), s) for s in pipeline_of(cfg)]
    names = [name for name, _ in named if name not in _PASSED]
    steps = dict(named)
    if names != [name for name in _STEPS if name in steps]:
        raise ValueError(
            f"'{cfg.filename}' has the steps {names} in its test pipeline, "
            f'and a file can carry {[*_STEPS]}, once each, in this order'
        )
    said: dict[str, Any] = {}
    for name, kind in _STEPS.items():
        for key, option in signature(kind).parameters.items():
            said[key] = steps.get(name, {}).get(key, option.default)
            if key not in _FREE and said[key] != option.default:
                raise ValueError(
                    f"'{cfg.filename}' has {name} with {key}={said[key]!r} in "
                    'its test pipeline, which a file cannot carry; it takes '
                    f'{key}={option.default!r}'
                )
    scale = said['scale']
    if not (isinstance(scale, list | tuple) and len(scale) == 2):
        raise ValueError(
            f"'{cfg.filename}' needs a step Resize with a scale of (width, "
            f'height) in its test pipeline, and has {scale!r}'
        )
    value = said['pad_val']
    if isinstance(value, dict):
        value = value.get('img', 0)
    if isinstance(value, int | float):
        value = [value] * cfg.model.get('backbone', {}).get('in_channels', 3)
    size, divisor = said['size'], said['size_divisor']
    return dict(
        color_type=said['color_type'],
        scale=list(scale),
        keep_ratio=said['keep_ratio'],
        pad_size=list(size) if size and not divisor else None,  # as mmcv has
        pad_divisor=divisor or 1,
        pad_value=list(value),
    )


def describe_model(model: nn.Module) -> dict[str, Any]:
    """Collect what a user of an exported model must know.

    Args:
        model (nn.Module): What :func:`mmvovnet.apis.build_model` returns.

    Returns:
        dict: ``classes``; ``mean``, ``std`` and channel ``order`` (RGB, BGR,
        BGRA or grey) of the input; ``divisor``, of which its sides are
        multiples, by zeros that are added last; and a detector's ``scale``,
        ``keep_ratio``, ``pad_size``, ``pad_divisor`` and ``pad_value``, see
        :func:`describe_images`.

    Raises:
        ValueError: If a file cannot carry what happens to an image.
    """
    cfg: Any = model.cfg
    meta: Any = model.dataset_meta
    pixels = cfg.model.get('data_preprocessor') or {}
    channels = getattr(getattr(model, 'backbone', None), 'in_channels', 3)
    order = {1: 'grey', 4: 'BGRA'}.get(channels, 'BGR')
    if order == 'BGR' and (pixels.get('bgr_to_rgb') or pixels.get('to_rgb')):
        order = 'RGB'
    mean, std = pixels.get('mean') or [0], pixels.get('std') or [1]
    result = dict(
        classes=list(meta.get('classes', [])),
        mean=list(mean) * (channels // len(mean)),
        std=list(std) * (channels // len(std)),
        order=order,
        divisor=pixels.get('pad_size_divisor') or 1,
    )
    if hasattr(model, 'bbox_head') or hasattr(model, 'roi_head'):
        result |= describe_images(cfg)
        kind = result.pop('color_type')
        wanted = COLOR_TYPES[order]
        if pixels.get('pad_value') or wanted != kind:
            raise ValueError(
                f"'{cfg.filename}' reads images with color_type={kind!r} for "
                f'a network of {channels} channels, and pads with '
                f'{pixels.get("pad_value", 0)}: a file can carry {wanted!r}, '
                'and 0'
            )
    return result


def describe_boxes(test_cfg: Any) -> dict[str, Any]:
    """Say what happens to boxes after a head's scores, by its ``test_cfg``.

    Returns:
        dict: ``iou_threshold`` of suppression, whether it is
        ``class_agnostic``, and ``max_per_img``.

    Raises:
        ValueError: If suppression is not plain NMS, or small boxes go.
    """
    nms = dict(test_cfg['nms'])
    result = dict(
        iou_threshold=nms.pop('iou_threshold', None),
        class_agnostic=nms.pop('class_agnostic', False),
        max_per_img=test_cfg['max_per_img'],
    )
    small = test_cfg.get('min_bbox_size', -1)
    nms.pop('split_thr', None)  # how many boxes at once, not which
    if nms != dict(type='nms') or small > 0:
        raise ValueError(
            f"boxes after test_cfg's nms={dict(test_cfg['nms'])!r} and "
            f'min_bbox_size={small!r} cannot be exported; type, '
            'iou_threshold and class_agnostic of plain nms and a size of 0 '
            "can: change them, or use outputs='raw'"
        )
    return result
