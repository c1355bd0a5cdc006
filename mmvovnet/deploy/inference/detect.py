"""Detectors as functions of images, and pictures of what they find."""

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
            image (np.ndarray): uint8 of shape (H, W, 3), BGR.

        Returns:
            tuple[Tensor, ...]: Boxes (x1, y1, x2, y2) in pixels, shape (K, 4),
            scores, shape (K,), and labels, int64 of shape (K,), best first;
            and masks, bool of shape (K, H, W), if the file has them.
        """
        info = self.exported.metadata
        resized = mmcv.imrescale(image, tuple(info['scale']))
        height, width = resized.shape[:2]
        pixels = mmcv.imnormalize(
            resized,
            np.array(info['mean']),
            np.array(info['std']),
            to_rgb=info['order'] == 'RGB',
        )
        padded = mmcv.impad_to_multiple(pixels, info['divisor'])
        images = torch.from_numpy(padded.transpose(2, 0, 1).copy())[None]
        out = self.exported(images.float())
        if info['kind'] == 'boxes':
            labels, index = out['all_scores'][0].nonzero(as_tuple=True)
            boxes = out['all_boxes'][0, index]
            scores = out['all_scores'][0, labels, index]
            keep = batched_nms(boxes, scores, labels, info['iou_threshold'])
            boxes, scores, labels = boxes[keep], scores[keep], labels[keep]
        else:
            boxes, scores, labels = out['boxes'], out['scores'], out['labels']
        scores, best = scores.sort(descending=True, stable=True)
        best = best[: info['max_per_img']]
        boxes = boxes[best].reshape(-1, 2, 2)
        boxes = boxes.clamp(max=boxes.new_tensor([width, height]))
        boxes *= boxes.new_tensor(
            [image.shape[1] / width, image.shape[0] / height]
        )
        boxes = boxes.flatten(1)
        found = boxes, scores[: len(best)], labels[best]
        if 'masks' not in out:
            return found
        from ..masks import paste

        return *found, paste(out['masks'][best], boxes, *image.shape[:2])


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
        for sample in data['data_samples']:
            found = self.detector(mmcv.imread(sample.img_path))
            sample.pred_instances = InstanceData(
                **dict(zip(PARTS, found, strict=False))
            )
        return data['data_samples']


def open_detector(
    path: str, checkpoint: str | None = None, may_miss: Sequence[str] = ()
) -> tuple[Detect, list[str]]:
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
        if it has them; and the names of the classes.
    """
    if Path(path).suffix not in ('.py', '.pth'):
        exported = load_exported(path)
        detector = Detector(exported)
        classes = exported.metadata['classes']
        return lambda images: [detector(image) for image in images], classes
    from mmvovnet.apis import build_model

    from ..folding import fuse
    from ..publish import build_published

    model: Any
    if checkpoint:
        model = build_model(path, checkpoint, may_miss)
    else:
        model = build_published(path)
    return _of_model(fuse(model)), list(model.dataset_meta['classes'])


def _of_model(model: Any) -> Detect:
    """A detector of MMDetection as a function of a batch of images."""
    from mmcv.transforms import Compose
    from mmdet.utils import get_test_pipeline_cfg

    steps = get_test_pipeline_cfg(model.cfg.copy())
    steps[0].type = 'mmdet.LoadImageFromNDArray'
    steps = [s for s in steps if s.type != 'LoadAnnotations']
    with DefaultScope.overwrite_default_scope('mmdet'):
        prepare = Compose(steps)

    def detect(images: list[np.ndarray]) -> list[Found]:
        data = [prepare(dict(img=image, img_id=0)) for image in images]
        batch = {key: [each[key] for each in data] for key in data[0]}
        with torch.no_grad():
            samples = model.test_step(batch)
        found = [sample.pred_instances for sample in samples]
        return [tuple(f[part] for part in PARTS if part in f) for f in found]

    return detect


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
    targets = [
        t.with_suffix('.mp4') if t.suffix.lower() in VIDEOS else t
        for t in targets
    ]
    for path, target in zip(paths, targets, strict=True):
        if target.resolve() in paths:
            raise ValueError(
                f"'{target}' is one of the images and would be overwritten: "
                'name another --out-dir'
            )
        if paths.count(path) > 1:
            raise ValueError(f"the image '{path}' is given twice")
        if targets.count(target) > 1:
            raise ValueError(
                f"'{path}' and another video would both be written to "
                f"'{target}': detect them in two calls, with two --out-dir"
            )
    return targets
