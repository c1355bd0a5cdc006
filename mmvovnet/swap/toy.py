"""One step on two toy images, for any model of OpenMMLab's libraries."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path as File
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from mmvovnet.tasks import dicts, library, model_of

from .changes import type_name

# Models of fewer queries take the same step in less time, on smaller images.
_QUERIES = 20
_SHAPES = ('img_shape', 'ori_shape', 'pad_shape')
_COUNTS = ('num_queries', 'num_query', 'num_proposals')


@contextmanager
def silence() -> Iterator[None]:
    """Hide what mmengine logs of every weight."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)


def build(cfg: Config, size: int = 64) -> BaseModel:
    """Build a config's model for images of a size, with random weights."""
    model = deepcopy(model_of(cfg))
    for path, node in dicts(model):
        for key in _COUNTS:
            if type(node.get(key)) is int:
                node[key] = min(node[key], _QUERIES)
        for key in ('pretrained', 'teacher_ckpt'):
            if node.get(key):
                node[key] = None
        teacher = node.get('teacher_config')
        if isinstance(teacher, str) and not File(teacher).exists():
            # As from the root of the library's repository.
            name = teacher.removeprefix('configs/')
            node['teacher_config'] = dict(
                model=get_config(f'{cfg.default_scope}::{name}').model
            )
        is_file = type_name(node) == 'Pretrained' or 'checkpoint' in node
        if 'init_cfg' in path[-2:] and is_file:
            node.clear()  # weights are not what is tried
            node.update(type='Constant', layer='none', val=0)
        if type_name(node) == 'MMSyncBN':  # it needs several processes
            node['type'] = 'BN'
    for _, node in dicts(model.get('data_preprocessor') or {}):
        node.pop('batch_augments', None)  # they pad to the size of training
        if 'size' in node:
            node['size'] = (size, size)
    built = revert_sync_batchnorm(MODELS.build(model))
    built.init_weights()
    return built


def batch(cfg: Config, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Two random images with labels of the kind that a config trains."""
    scope = library(cfg)
    counts = [
        node[key]
        for _, node in dicts(cfg.model)
        for key in ('num_classes', 'num_things_classes')
        if type(node.get(key)) is int and node[key] > 0
    ]
    classes = min(counts, default=2)
    images = torch.randint(256, (2, *shape), dtype=torch.uint8)
    if scope == 'mmpretrain':
        return _classification(cfg, images, classes)
    if scope == 'mmseg':
        return _segmentation(images, classes)
    if scope == 'mmpose':
        from mmpose.testing import get_packed_inputs

        points = cfg.model.get('head', {}).get('out_channels', 17)
        return get_packed_inputs(2, num_keypoints=points)
    if scope == 'mmdet3d':
        velocity = (cfg.model.get('bbox_head') or {}).get('pred_velo', False)
        return _mono3d(images, classes, velocity)
    return _detection(cfg, images, classes)


def _classification(cfg: Config, images: Tensor, classes: int) -> dict:
    from mmpretrain.structures import DataSample

    samples = [
        DataSample(metainfo=dict(num_classes=classes)).set_gt_label(label)
        for label in (0, classes - 1)
    ]
    inputs: Any = [*images]
    for _, node in dicts(cfg.get('train_dataloader') or {}):
        if type_name(node) == 'MultiView':  # for self-supervision
            views = int(np.sum(node.get('num_views', 2)))
            inputs = [images] * views
    return dict(inputs=inputs, data_samples=samples)


def _segmentation(images: Tensor, classes: int) -> dict:
    from mmseg.structures import SegDataSample

    size = images.shape[2:]
    samples = [
        SegDataSample(
            metainfo=dict.fromkeys(_SHAPES, size),
            gt_sem_seg=PixelData(data=torch.randint(classes, (1, *size))),
        )
        for _ in images
    ]
    return dict(inputs=[*images], data_samples=samples)


def _detection(cfg: Config, images: Tensor, classes: int) -> dict:
    from mmdet import testing

    shape = tuple(images.shape[1:])
    steps = [node for _, node in dicts(cfg.get('train_dataloader') or {})]
    kinds = {type_name(step): step for step in steps}
    panoptic = 'LoadPanopticAnnotations' in kinds
    options: dict[str, Any] = dict(
        image_shapes=[shape] * 2,
        num_items=[2, 2],
        with_mask=panoptic or any(s.get('with_mask') for s in steps),
        with_semantic=panoptic or any(s.get('with_seg') for s in steps),
    )
    preprocessor = type_name(cfg.model.get('data_preprocessor'))
    if preprocessor == 'ReIDDataPreprocessor':  # two images of two persons
        from mmdet.structures import ReIDDataSample

        sample = ReIDDataSample().set_gt_label([0, classes - 1] * 2)
        views = torch.cat([images, images.flip(-1)])
        return dict(inputs=[views], data_samples=[sample])
    if preprocessor == 'TrackDataPreprocessor':
        options |= dict(num_frames=2, key_frames_inds=[0], num_classes=classes)
        return testing.demo_track_inputs(2, **options)
    scale = kinds.get('SegRescale', {}).get('scale_factor', 1)
    options['sem_seg_output_strides'] = round(1 / scale)
    options['num_classes'] = max(min(classes, 80), 2)
    made = testing.demo_mm_inputs(2, **options)
    for sample in made['data_samples']:
        sample.gt_instances.labels %= classes
        sample.set_metainfo(
            dict(
                homography_matrix=np.eye(3, dtype=np.float32),
                batch_input_shape=shape[1:],
            )
        )
        if type_name(cfg.model) == 'FastRCNN':
            (sample.proposals,) = testing.demo_mm_proposals([shape], 20)
    if preprocessor != 'MultiBranchDataPreprocessor':
        return made
    branches = ('sup', 'unsup_teacher', 'unsup_student')
    return {
        key: {name: deepcopy(value) for name in branches}
        for key, value in made.items()
    }


def _mono3d(images: Tensor, classes: int, velocity: bool) -> dict:
    """Two objects in front of a camera, 10 m and 20 m away."""
    from mmdet3d.structures import CameraInstance3DBoxes, Det3DDataSample

    height, width = images.shape[2:]
    middle = torch.tensor([width / 2, height / 2])
    camera = np.diag([width, width, 1, 1]).astype(np.float32)
    camera[:2, 2] = middle
    speed = [0.5, 0.5] * velocity
    near, far = [-1, 0, 10, 4, 2, 2, 0.1], [2, 0, 20, 4, 2, 2, 0.2]
    boxes = torch.tensor([near + speed, far + speed])
    labels = torch.arange(2) % classes
    centers = boxes[:, :2] / boxes[:, 2:3] * width + middle
    corner = torch.tensor([12.0, 8.0])
    sample = Det3DDataSample(
        metainfo=dict(
            **dict.fromkeys(_SHAPES, (height, width)),
            scale_factor=(1.0, 1.0),
            cam2img=camera.tolist(),
            box_type_3d=CameraInstance3DBoxes,
            trans_mat=np.diag([0.25, 0.25, 1.0]).astype(np.float32),
            affine_aug=False,
        ),
        gt_instances_3d=InstanceData(
            bboxes_3d=CameraInstance3DBoxes(boxes, boxes.size(1)),
            labels_3d=labels,
            centers_2d=centers,
            depths=boxes[:, 2],
            attr_labels=torch.zeros(2, dtype=torch.long),
        ),
        gt_instances=InstanceData(
            bboxes=torch.cat([centers - corner, centers + corner], 1),
            labels=labels,
        ),
        eval_ann_info=None,
    )
    samples = [sample, deepcopy(sample)]
    return dict(inputs=dict(img=[*images]), data_samples=samples)


def losses(model: BaseModel, data: dict[str, Any]) -> Tensor:
    """Run a model on a batch as in training, and sum its losses."""
    model.train()
    for count in ('iter', 'epoch'):  # as a runner does
        MessageHub.get_current_instance().update_info(count, 0)
    data = model.data_preprocessor(data, True)
    return model.parse_losses(model._run_forward(data, 'loss'))[0]


def optimizer(cfg: Config, model: BaseModel) -> OptimWrapper:
    """Build a config's optimizer, to work in full precision."""
    wrapper = cfg.get('optim_wrapper') or dict(
        optimizer=dict(type='SGD', lr=0.01)
    )
    # Not its type and the options of that, which may be for a GPU.
    kept = ('optimizer', 'constructor', 'paramwise_cfg', 'clip_grad')
    options = {key: wrapper[key] for key in kept if key in wrapper}
    return build_optim_wrapper(model, options)
