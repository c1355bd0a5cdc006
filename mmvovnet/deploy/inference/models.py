"""MMDetection's models as detectors, and an exported one in their place."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import nn

from mmvovnet.apis import build_model
from mmvovnet.tasks import pipeline_of, require

from ..folding import fuse
from ..publish import build_published
from .detector import COLOR_TYPES, Detect, Detector, Found
from .media import read_image

_PARTS = ('bboxes', 'scores', 'labels', 'masks')  # of a Found


class FileDetector(nn.Module):
    """An exported detector in the place of the model that a runner tests."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def test_step(self, data: dict[str, Any]) -> list[Any]:
        """Detect objects in a batch of MMDetection's."""
        samples = data['data_samples']
        kind = COLOR_TYPES[self.detector.info['order']]
        images: Any = [read_image(each.img_path, kind) for each in samples]
        for sample, found in zip(samples, self.detector(images), strict=True):
            parts = zip(_PARTS, map(torch.from_numpy, found), strict=False)
            sample.pred_instances = InstanceData(**dict(parts))
        return samples


def open_model(
    path: str, checkpoint: str | None, may_miss: Sequence[str]
) -> tuple[Detect, list[str], str]:
    """A published file or a config, as :func:`.detector.open_detector`."""
    model: Any
    if checkpoint:
        model = build_model(path, checkpoint, may_miss)
        require(model.cfg, ('mmdet',), 'detection')
    else:
        model = build_published(path)
    first, *steps = copy.deepcopy(pipeline_of(model.cfg))
    if first.get('imdecode_backend', 'cv2') != 'cv2':
        raise ValueError(
            f"'{path}' reads images by {first.imdecode_backend!r}, and here "
            'they are read by cv2: set imdecode_backend of its test pipeline'
        )
    first.type = 'mmdet.LoadImageFromNDArray'
    steps = [s for s in steps if 'Annotations' not in s.type]
    with DefaultScope.overwrite_default_scope('mmdet'):
        prepare = Compose([first, *steps])
    model = fuse(model)

    def detect(images: Sequence[Any]) -> list[Found]:
        data = [prepare(dict(img=image, img_id=0)) for image in images]
        batch = {key: [each[key] for each in data] for key in data[0]}
        with torch.no_grad():
            samples = model.test_step(batch)
        found = [sample.pred_instances for sample in samples]
        return [
            tuple(f[part].numpy() for part in _PARTS if part in f)
            for f in found
        ]

    kind = first.get('color_type', 'color')
    return detect, list(model.dataset_meta['classes']), kind
