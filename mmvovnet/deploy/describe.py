"""What happens to an image before a detector, and to the boxes after it.

One description for every file: a published one builds its test pipeline from
it, an exported one holds it as metadata, by which
:class:`.inference.detect.Detector` prepares images. What it cannot say is
refused by name.
"""

import math
from typing import Any

from mmengine.config import Config
from torch import nn

from mmvovnet.tasks import pipeline_of

from .metadata import COLOR_TYPES

# Steps in their order and their options: the default, and whether a file
# says the value where it is another.
_STEPS: dict[str, dict[str, tuple[Any, bool]]] = {
    'LoadImageFromFile': dict(
        color_type=('color', True),
        imdecode_backend=('cv2', False),
        to_float32=(False, False),
    ),
    'Resize': dict(
        scale=(None, True),
        keep_ratio=(False, True),
        scale_factor=(None, False),
        interpolation=('bilinear', False),
        backend=('cv2', False),
    ),
    'Pad': dict(
        size=(None, True),
        size_divisor=(None, True),
        pad_val=(0, True),
        pad_to_square=(False, False),
        padding_mode=('constant', False),
    ),
}
# Of no effect on the image and the boxes.
_SILENT = {'type', '_scope_', 'backend_args', 'ignore_empty'}
_SILENT |= {'file_client_args', 'clip_object_border'}
_PASSED = {'LoadAnnotations', 'LoadPanopticAnnotations', 'PackDetInputs'}


def describe_images(cfg: Config) -> dict[str, Any]:
    """Say what a detector's test pipeline does to an image.

    Args:
        cfg (Config): The detector's config.

    Returns:
        dict: ``color_type`` as mmcv's ``imread`` knows it; ``scale``, the
        (width, height) to which images are resized, and whether they
        ``keep_ratio`` and just fit into it; ``pad_size``, the (width, height)
        to which they are padded then, or None, or ``pad_divisor``, of which
        their sides become multiples; ``pad_value`` of each channel.

    Raises:
        ValueError: If the pipeline has another step or option, which is
            named.
    """
    said: dict[str, Any] = {
        f'{name}.{key}': default
        for name, options in _STEPS.items()
        for key, (default, _) in options.items()
    }
    order = list(_STEPS)
    for step in pipeline_of(cfg):
        name = step['type'].rpartition('.')[2]
        if name in _PASSED:
            continue
        if name not in order:
            raise ValueError(
                f"'{cfg.filename}' has the step {name!r} in its test pipeline"
                f', and a file can carry {", ".join(_STEPS)}, once each and '
                'in this order'
            )
        order = order[order.index(name) + 1 :]
        for key, value in step.items():
            if key in _SILENT:
                continue
            default, carried = _STEPS[name].get(key, (None, False))
            if not carried and value != default:
                raise ValueError(
                    f"'{cfg.filename}' has {name} with {key}={value!r} in "
                    'its test pipeline, which a file cannot carry; it takes '
                    f'{key}={default!r}'
                )
            said[f'{name}.{key}'] = value
    scale = said['Resize.scale']
    if not (isinstance(scale, list | tuple) and len(scale) == 2):
        raise ValueError(
            f"'{cfg.filename}' needs a step Resize with a scale of (width, "
            f'height) in its test pipeline, and has {scale!r}'
        )
    size, value = said['Pad.size'], said['Pad.pad_val']
    channels = cfg.model.get('backbone', {}).get('in_channels', 3)
    if isinstance(value, dict):
        value = value.get('img', 0)
    if isinstance(value, int | float):
        value = [value] * channels
    divisor = said['Pad.size_divisor']  # it comes before the size in mmcv
    return dict(
        color_type=said['LoadImageFromFile.color_type'],
        scale=list(scale),
        keep_ratio=said['Resize.keep_ratio'],
        pad_size=list(size) if size and not divisor else None,
        pad_divisor=divisor or 1,
        pad_value=list(value),
    )


def build_pipeline(images: dict[str, Any]) -> list[dict[str, Any]]:
    """The test pipeline that :func:`describe_images` has described."""
    size = images['pad_size'] and tuple(images['pad_size'])
    value = tuple(images['pad_value'])
    pad = dict(
        type='Pad',
        size=size,
        size_divisor=None if size else images['pad_divisor'],
        pad_val=dict(img=value if len(value) > 1 else value[0]),
    )
    return [
        dict(type='LoadImageFromFile', color_type=images['color_type']),
        dict(
            type='Resize',
            scale=tuple(images['scale']),
            keep_ratio=images['keep_ratio'],
        ),
        *([pad] if size or images['pad_divisor'] > 1 else []),
        dict(
            type='PackDetInputs',
            meta_keys=('img_path', 'ori_shape', 'img_shape', 'scale_factor'),
        ),
    ]


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
        images = describe_images(cfg)
        kind = images.pop('color_type')
        if pixels.get('pad_value') or COLOR_TYPES.get(order, 'color') != kind:
            raise ValueError(
                f"'{cfg.filename}' reads images with color_type={kind!r} for "
                f'a network of {channels} channels, and pads with '
                f'{pixels.get("pad_value", 0)}: a file can carry '
                f'{COLOR_TYPES.get(order, "color")!r}, and 0'
            )
        result.update(images)
    return result


def one_size(info: dict[str, Any]) -> tuple[int, int] | None:
    """The (height, width) of all of a model's inputs, if they have one."""
    size = info.get('pad_size')
    if not size and not info.get('keep_ratio', True):
        size = info['scale']
    if not size:
        return None
    step = math.lcm(info['pad_divisor'], info['divisor'])
    return tuple(math.ceil(side / step) * step for side in reversed(size))


def describe_boxes(test_cfg: Any) -> dict[str, Any]:
    """Say what happens to boxes after a head's scores.

    Args:
        test_cfg (dict): The head's.

    Returns:
        dict: ``iou_threshold`` of suppression, whether it is
        ``class_agnostic``, and ``max_per_img``.

    Raises:
        ValueError: If suppression is another than plain NMS, or small boxes
            are dropped.
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
