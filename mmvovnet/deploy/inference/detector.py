"""Exported detectors as functions of images, by numpy and OpenCV alone."""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .runtime import Exported, load_exported

# What is in an image, best first: boxes (x1, y1, x2, y2) in pixels, shape
# (K, 4), scores and labels, shape (K,); and masks, bool of shape (K, H, W),
# if the model has them.
Found = tuple[np.ndarray, ...]
Detect = Callable[[Sequence[np.ndarray]], list[Found]]
# By the order of a file's channels, how mmcv's imread reads them.
COLOR_TYPES = {
    'RGB': 'color',
    'BGR': 'color',
    'BGRA': 'unchanged',
    'grey': 'grayscale',
}


class Detector:
    """An exported detector as a function of images, as :func:`prepare` takes.

    It needs outputs 'boxes' or 'detections', and the metadata of
    :func:`mmvovnet.deploy.describe_model`.
    """

    def __init__(self, exported: Exported) -> None:
        self.info = exported.metadata
        kind = self.info.get('kind')
        if kind not in ('boxes', 'detections'):
            raise ValueError(
                f"the file's outputs are {kind!r}; detection needs one that "
                "was exported with outputs='boxes' or 'detections'"
            )
        if 'pad_value' not in self.info:  # as in files of 0.1.0
            raise ValueError(
                'the file does not say how images are prepared: export it '
                'anew, with metadata=describe_model(model)'
            )
        self.exported = exported

    def __call__(self, images: Sequence[np.ndarray]) -> list[Found]:
        """Detect objects as MMDetection does: resize, normalise, pad, run.

        Neighbours of one input size run together.
        """
        found = []
        ready = [(image, *prepare(image, self.info)) for image in images]
        for _, same in groupby(ready, key=lambda each: each[1].shape):
            group = list(same)
            out = self.exported(np.stack([pixels for _, pixels, *_ in group]))
            for i, (image, _, inside, factors) in enumerate(group):
                boxes, *rest = self._best(out, i)
                boxes = boxes.reshape(-1, 2, 2).clip(0, inside[::-1])
                boxes = np.float32(boxes / factors).reshape(-1, 4)
                rest[2:] = [
                    paste(m, boxes, *image.shape[:2]) for m in rest[2:]
                ]
                found.append((boxes, *rest))
        return found

    def _best(self, out: dict[str, np.ndarray], i: int) -> Found:
        """What the outputs for a batch say of image ``i``, best first."""
        if self.info['kind'] == 'boxes':
            found = suppress(
                out['all_boxes'][i],
                out['all_scores'][i],
                self.info['iou_threshold'],
                self.info['class_agnostic'],
            )
        else:
            names = ('boxes', 'scores', 'labels', 'masks')
            here = out['image_ids'] == i
            found = tuple(out[name][here] for name in names if name in out)
        best = np.argsort(-found[1], kind='stable')[: self.info['max_per_img']]
        return tuple(part[best] for part in found)


def prepare(
    image: np.ndarray, info: dict[str, Any]
) -> tuple[np.ndarray, tuple[int, int], tuple[float, float]]:
    """Resize, pad, normalise and pad an image as a file's metadata say.

    Args:
        image (np.ndarray): uint8 of shape (H, W, 3) in BGR, (H, W, 4) or
            (H, W), of the order that the file reads.
        info (dict): See :func:`mmvovnet.deploy.describe_model`.

    Returns:
        tuple: float32 of shape (C, H', W'); the height and width within
        which boxes lie; and the (x, y) by which the image was scaled.
    """
    height, width = image.shape[:2]
    size = info['scale']
    if info['keep_ratio']:
        by = max(size) / max(height, width), min(size) / min(height, width)
        size = [int(side * min(by) + 0.5) for side in (width, height)]
    pixels = cv2.resize(image, size)
    factors = (size[0] / width, size[1] / height)
    pixels = _pad(
        pixels, info['pad_divisor'], info['pad_size'], info['pad_value']
    )
    inside = pixels.shape[:2]
    step = -1 if info['order'] == 'RGB' else 1  # images are BGR
    values = np.arange(256, dtype=np.float32)[:, None]
    table = (values - np.float32(info['mean'])) / np.float32(info['std'])
    pixels = cv2.LUT(pixels, table[:, None, ::step].copy())
    pixels = _pad(pixels, info['divisor'])
    return np.stack(cv2.split(pixels)[::step]), inside, factors


def _pad(
    pixels: np.ndarray,
    divisor: int,
    least: Sequence[int] | None = None,
    value: Sequence[float] = (0,),
) -> np.ndarray:
    """Pad below and at the right, to a (width, height) and a multiple."""
    right, bottom = (
        -(-max(side, to) // divisor) * divisor - side
        for side, to in zip(pixels.shape[1::-1], least or (0, 0), strict=True)
    )
    return cv2.copyMakeBorder(
        pixels, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=value
    )


def suppress(
    boxes: np.ndarray,
    scores: np.ndarray,
    iou_threshold: float,
    class_agnostic: bool,
) -> Found:
    """Suppress boxes (B, 4) of positive scores (classes, B)."""
    labels, index = np.nonzero(scores > 0)
    boxes, scores = boxes[index], scores[labels, index]
    kept = cv2.dnn.NMSBoxesBatched(
        np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).tolist(),
        scores.tolist(),
        (labels * (not class_agnostic)).tolist(),
        0,
        iou_threshold,
    )
    keep = np.array(kept, int)
    return boxes[keep], scores[keep], labels[keep]


def paste(
    masks: np.ndarray, boxes: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Bring probabilities (K, h, w) within boxes (K, 4) into their image.

    Returns:
        np.ndarray: bool of shape (K, height, width).
    """
    whole = np.zeros((len(masks), height, width), bool)
    for i, (mask, (x1, y1, x2, y2)) in enumerate(
        zip(masks, boxes, strict=True)
    ):
        rows, down = _weights(y1, y2, height, mask.shape[0])
        columns, across = _weights(x1, x2, width, mask.shape[1])
        whole[i, rows, columns] = down @ mask @ across.T >= 0.5
    return whole


def _weights(
    first: float, last: float, side: int, count: int
) -> tuple[slice, np.ndarray]:
    """The pixels of a box along an axis, and how each mixes mask values."""
    pixels = slice(max(int(first), 0), max(int(np.ceil(last)), 0))
    centres = np.arange(side, dtype=np.float32)[pixels, None] + 0.5
    where = (centres - first) / (last - first) * count - 0.5
    distance = np.abs(where - np.arange(count, dtype=np.float32))
    return pixels, np.maximum(1 - distance, 0)


def open_detector(
    path: str, checkpoint: str | None = None, may_miss: Sequence[str] = ()
) -> tuple[Detect, list[str], str]:
    """Get a detector from an exported file, a published one or a config.

    Args:
        path (str): The file; all but exported ones need MMDetection.
        checkpoint (str, optional): Weights for a config.
        may_miss (Sequence[str]): Beginnings of the names of weights that the
            checkpoint need not hold.

    Returns:
        tuple: The function; the names of its classes; and the ``color_type``
        by which :func:`.media.read_image` reads images for it.
    """
    if Path(path).suffix in ('.py', '.pth'):
        from .models import open_model

        return open_model(path, checkpoint, may_miss)
    detector = Detector(load_exported(path))
    info = detector.info
    return detector, info['classes'], COLOR_TYPES[info['order']]
