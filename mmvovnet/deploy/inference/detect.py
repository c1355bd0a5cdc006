"""Detectors as functions of images, and pictures of what they find."""

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torchvision.ops import batched_nms

from mmvovnet.fileio import keep_apart
from mmvovnet.tasks import pipeline_of, require

from ..describe import COLOR_TYPES
from .runtime import Exported, load_exported

# Boxes, scores and labels of an image, and masks if the model has them.
Found = tuple[Tensor, ...]
Detect = Callable[[list[np.ndarray]], list[Found]]
PARTS = ('bboxes', 'scores', 'labels', 'masks')
VIDEOS = ('.avi', '.mkv', '.mov', '.mp4', '.webm')


class Detector:
    """An exported detector as a function of an image.

    Args:
        exported (Exported): A file with outputs 'boxes' or 'detections', and
            the metadata of :func:`mmvovnet.deploy.describe_model`.

    Raises:
        ValueError: If the file has other outputs.
    """

    def __init__(self, exported: Exported) -> None:
        kind = exported.metadata['kind']
        if kind not in ('boxes', 'detections'):
            raise ValueError(
                f"the file's outputs are {kind!r}; detection needs one that "
                "was exported with outputs='boxes' or 'detections'"
            )
        self.exported = exported

    def __call__(self, image: np.ndarray) -> Found:
        """Detect objects as MMDetection does: resize, normalise, pad, run.

        Args:
            image (np.ndarray): As :func:`prepare` takes it.

        Returns:
            tuple[Tensor, ...]: Boxes (x1, y1, x2, y2) in pixels, shape (K, 4),
            scores, shape (K,), and labels, int64 of shape (K,), best first;
            and masks, bool of shape (K, H, W), if the file has them.
        """
        info = self.exported.metadata
        pixels, (height, width), factors = prepare(image, info)
        out = self.exported(torch.from_numpy(pixels)[None])
        if info['kind'] == 'boxes':
            boxes, scores, labels = suppress(
                out['all_boxes'][0],
                out['all_scores'][0],
                info['iou_threshold'],
                info['class_agnostic'],
            )
        else:
            boxes, scores, labels = out['boxes'], out['scores'], out['labels']
        scores, best = scores.sort(descending=True, stable=True)
        best = best[: info['max_per_img']]
        boxes = boxes[best].reshape(-1, 2, 2)
        boxes = boxes.clamp(max=boxes.new_tensor([width, height]))
        boxes = (boxes.clamp(min=0) / boxes.new_tensor(factors)).flatten(1)
        found = boxes, scores[: len(best)], labels[best]
        if 'masks' not in out:
            return found
        from ..masks import paste

        return *found, paste(out['masks'][best], boxes, *image.shape[:2])


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
    scale = tuple(info['scale'])
    resize = mmcv.imrescale if info['keep_ratio'] else mmcv.imresize
    pixels = resize(image, scale)
    factors = (
        pixels.shape[1] / image.shape[1],
        pixels.shape[0] / image.shape[0],
    )
    value = tuple(info['pad_value'])
    value = value if pixels.ndim == 3 else value[0]
    if info['pad_size']:
        size = tuple(reversed(info['pad_size']))
        pixels = mmcv.impad(pixels, shape=size, pad_val=value)
    pixels = mmcv.impad_to_multiple(pixels, info['pad_divisor'], value)
    inside = pixels.shape[:2]
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    pixels = np.float32(
        pixels[..., ::-1] if info['order'] == 'RGB' else pixels
    )
    pixels = (pixels - np.float32(info['mean'])) / np.float32(info['std'])
    pixels = mmcv.impad_to_multiple(pixels, info['divisor'])
    if pixels.ndim == 2:  # OpenCV drops a single channel
        pixels = pixels[..., None]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)), inside, factors


def suppress(
    boxes: Tensor, scores: Tensor, iou_threshold: float, class_agnostic: bool
) -> Found:
    """Suppress boxes (B, 4) of positive scores (classes, B)."""
    labels, index = scores.nonzero(as_tuple=True)
    boxes, scores = boxes[index], scores[labels, index]
    groups = torch.zeros_like(labels) if class_agnostic else labels
    keep = batched_nms(boxes, scores, groups, iou_threshold)
    return boxes[keep], scores[keep], labels[keep]


class FileDetector(nn.Module):
    """An exported detector in the place of the model that a runner tests.

    Args:
        detector (Detector): It reads the images as ``tools/detect.py`` does.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def test_step(self, data: dict[str, Any]) -> list[Any]:
        """Detect objects in a batch of MMDetection's."""
        order = self.detector.exported.metadata['order']
        kind = COLOR_TYPES.get(order, 'color')
        for sample in data['data_samples']:
            found = self.detector(mmcv.imread(sample.img_path, kind))
            sample.pred_instances = InstanceData(
                **dict(zip(PARTS, found, strict=False))
            )
        return data['data_samples']


def open_detector(
    path: str, checkpoint: str | None = None, may_miss: Sequence[str] = ()
) -> tuple[Detect, list[str], str]:
    """Get a detector from any kind of file.

    Args:
        path (str): An exported file, a file by :func:`.publish.publish`, or a
            config.
        checkpoint (str, optional): Weights for a config.
        may_miss (Sequence[str]): Beginnings of the names of weights that the
            checkpoint need not hold.

    Returns:
        tuple: A function from images, uint8 of shape (H, W, 3) in BGR, to
        boxes, scores and labels of each, and masks, bool of shape (K, H, W),
        if it has them; the names of the classes; and the ``color_type`` by
        which mmcv's ``imread`` reads such images.
    """
    if Path(path).suffix not in ('.py', '.pth'):
        exported = load_exported(path)
        detector = Detector(exported)
        info = exported.metadata
        kind = COLOR_TYPES.get(info['order'], 'color')
        return (
            lambda images: list(map(detector, images)),
            info['classes'],
            kind,
        )
    from mmvovnet.apis import build_model

    from ..folding import fuse
    from ..publish import build_published

    model: Any
    if checkpoint:
        model = build_model(path, checkpoint, may_miss)
        require(model.cfg, ('mmdet',), 'detection')
    else:
        model = build_published(path)
    loader = pipeline_of(model.cfg)[0]
    kind = loader.get('color_type', 'color')
    if loader.get('imdecode_backend', 'cv2') != 'cv2':
        raise ValueError(
            f"'{path}' reads images by {loader.imdecode_backend!r}, and here "
            'they are read by cv2: set imdecode_backend of its test pipeline'
        )
    return _of_model(fuse(model)), list(model.dataset_meta['classes']), kind


def _of_model(model: Any) -> Detect:
    """A detector of MMDetection as a function of a batch of images."""
    from mmcv.transforms import Compose

    first, *steps = copy.deepcopy(pipeline_of(model.cfg))
    first.type = 'mmdet.LoadImageFromNDArray'
    steps = [s for s in steps if 'Annotations' not in s.type]
    with DefaultScope.overwrite_default_scope('mmdet'):
        prepare = Compose([first, *steps])

    def detect(images: list[np.ndarray]) -> list[Found]:
        data = [prepare(dict(img=image, img_id=0)) for image in images]
        batch = {key: [each[key] for each in data] for key in data[0]}
        with torch.no_grad():
            samples = model.test_step(batch)
        found = [sample.pred_instances for sample in samples]
        return [tuple(f[part] for part in PARTS if part in f) for f in found]

    return detect


def is_video(path: str | Path) -> bool:
    """Whether a file is a video, by its ending."""
    return Path(path).suffix.lower() in VIDEOS


def outputs(images: Sequence[str], out_dir: str | Path) -> list[Path]:
    """Where to write what is drawn: a picture, or an MP4 for a video.

    Args:
        images (Sequence[str]): Images and videos.
        out_dir (str | Path): Folder. Images from several folders keep what
            tells these apart.

    Returns:
        list[Path]: A file for each image.

    Raises:
        ValueError: If one of them is an image itself, two are one file, or
            an image is given twice.

    Example:
        >>> [path.as_posix() for path in outputs(['a/1.png', 'b/1.png'], 'o')]
        ['o/a/1.png', 'o/b/1.png']
    """
    paths = [Path(image).resolve() for image in images]
    root = os.path.commonpath([path.parent for path in paths])
    targets = [Path(out_dir, path.relative_to(root)) for path in paths]
    targets = [t.with_suffix('.mp4') if is_video(t) else t for t in targets]
    for path in paths:
        if paths.count(path) > 1:
            raise ValueError(f"the image '{path}' is given twice")
    keep_apart(targets, paths)
    return targets
