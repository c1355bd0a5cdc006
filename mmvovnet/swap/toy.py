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
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from mmvovnet.tasks import dicts, library

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
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    model = deepcopy(cfg.model)
    if cfg.get('data_preprocessor'):
        model.setdefault('data_preprocessor', deepcopy(cfg.data_preprocessor))
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


def batch(cfg: Config, size: int = 64) -> dict[str, Any]:
    """Two random images with labels of the kind that a config trains."""
    scope = library(cfg)
    counts = [
        node[key]
        for _, node in dicts(cfg.model)
        for key in ('num_classes', 'num_things_classes')
        if type(node.get(key)) is int and node[key] > 0
    ]
    classes = min(counts, default=2)
    images = list(torch.randint(256, (2, 3, size, size), dtype=torch.uint8))
    if scope == 'mmpretrain':
        return _classification(cfg, images, classes)
    if scope == 'mmseg':
        return dict(inputs=images, data_samples=segmentation(images, classes))
    if scope == 'mmpose':
        from mmpose.testing import get_packed_inputs

        points = cfg.model.get('head', {}).get('out_channels', 17)
        return get_packed_inputs(2, num_keypoints=points)
    if scope == 'mmdet3d':
        velocity = (cfg.model.get('bbox_head') or {}).get('pred_velo', False)
        samples = mono3d(images, classes, velocity)
        return dict(inputs=dict(img=images), data_samples=samples)
    return _detection(cfg, images, classes)


def _detection(cfg: Config, images: list[Tensor], classes: int) -> dict:
    from mmdet import testing

    shape = tuple(images[0].shape)
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
    if preprocessor == 'ReIDDataPreprocessor':
        return _reid(images, classes)
    if preprocessor == 'TrackDataPreprocessor':
        options |= dict(num_frames=2, key_frames_inds=[0], num_classes=classes)
        return testing.demo_track_inputs(2, **options)
    scale = kinds.get('SegRescale', {}).get('scale_factor', 1)
    options['sem_seg_output_strides'] = round(1 / scale)
    options['num_classes'] = max(min(classes, 80), 2)

    def inputs() -> dict:
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
                proposals = testing.demo_mm_proposals([shape], 20)
                sample.proposals = proposals[0]
        return made

    if preprocessor != 'MultiBranchDataPreprocessor':
        return inputs()
    branches = {name: inputs() for name in ('sup', 'unsup_teacher')}
    branches['unsup_student'] = deepcopy(branches['unsup_teacher'])
    return {
        key: {name: made[key] for name, made in branches.items()}
        for key in ('inputs', 'data_samples')
    }


def _reid(images: list[Tensor], classes: int) -> dict:
    """Two persons, two images of each."""
    from mmdet.structures import ReIDDataSample

    a, b = (image[..., : image.size(-1) // 2] for image in images)
    sample = ReIDDataSample()
    sample.set_gt_label([0, 0, classes - 1, classes - 1])
    inputs = torch.stack([a, a.flip(-1), b, b.flip(-1)])
    return dict(inputs=[inputs], data_samples=[sample])


def _classification(cfg: Config, images: list[Tensor], classes: int) -> dict:
    samples = classification(images, classes)
    for sample in samples:
        sample.set_field(classes, 'num_classes', field_type='metainfo')
    inputs: Any = images
    for _, node in dicts(cfg.get('train_dataloader') or {}):
        if type_name(node) == 'MultiView':  # for self-supervision
            views = int(np.sum(node.get('num_views', 2)))
            inputs = [torch.stack(images) for _ in range(views)]
    return dict(inputs=inputs, data_samples=samples)


def classification(images: list[Tensor], classes: int) -> list:
    """Labels of two images."""
    from mmpretrain.structures import DataSample

    return [DataSample().set_gt_label(i % classes) for i in range(len(images))]


def segmentation(images: list[Tensor], classes: int) -> list:
    """A label for every pixel."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples = []
    for image in images:
        size = image.shape[1:]
        sample = SegDataSample(metainfo=dict.fromkeys(_SHAPES, size))
        labels = torch.randint(classes, (1, *size))
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    return samples


def mono3d(images: list[Tensor], classes: int, velocity: bool) -> list:
    """Two objects in front of a camera, 10 m and 20 m away."""
    from mmdet3d.structures import CameraInstance3DBoxes, Det3DDataSample
    from mmengine.structures import InstanceData

    samples = []
    for image in images:
        height, width = image.shape[1:]
        middle = torch.tensor([width / 2, height / 2])
        camera = np.diag([width, width, 1, 1]).astype(np.float32)
        camera[:2, 2] = middle
        near, far = [-1, 0, 10, 4, 2, 2, 0.1], [2, 0, 20, 4, 2, 2, 0.2]
        speed = [0.5, 0.5] * velocity
        boxes = torch.tensor([near + speed, far + speed])
        labels = torch.arange(2) % classes
        centers = boxes[:, :2] / boxes[:, 2:3] * width + middle
        sizes = torch.tensor([12.0, 8.0])
        gt_3d = InstanceData(
            bboxes_3d=CameraInstance3DBoxes(boxes, boxes.size(1)),
            labels_3d=labels,
            centers_2d=centers,
            depths=boxes[:, 2],
            attr_labels=torch.zeros(2, dtype=torch.long),
        )
        gt = InstanceData(
            bboxes=torch.cat([centers - sizes, centers + sizes], 1),
            labels=labels,
        )
        sample = Det3DDataSample(gt_instances_3d=gt_3d, gt_instances=gt)
        sample.eval_ann_info = None
        sample.set_metainfo(
            dict(
                **dict.fromkeys(_SHAPES, (height, width)),
                scale_factor=(1.0, 1.0),
                cam2img=camera.tolist(),
                box_type_3d=CameraInstance3DBoxes,
                trans_mat=np.diag([0.25, 0.25, 1.0]).astype(np.float32),
                affine_aug=False,
            )
        )
        samples.append(sample)
    return samples


def losses(model: BaseModel, data: dict[str, Any]) -> Tensor:
    """Run a model on a batch as in training, and sum its losses."""
    model.train()
    for count in ('iter', 'epoch'):  # as a runner does
        MessageHub.get_current_instance().update_info(count, 0)
    data = model.data_preprocessor(data, True)
    return model.parse_losses(model._run_forward(data, 'loss'))[0]


def optimizer(cfg: Config, model: BaseModel) -> OptimWrapper:
    """Build a config's optimizer, to work in full precision."""
    options = deepcopy(cfg.get('optim_wrapper')) or dict(
        optimizer=dict(type='SGD', lr=0.01)
    )
    if type_name(options) in ('AmpOptimWrapper', 'ApexOptimWrapper'):
        for key in ('loss_scale', 'dtype', 'opt_level', 'use_fp16_params'):
            options.pop(key, None)
        options['type'] = 'OptimWrapper'
    options.pop('accumulative_counts', None)
    return build_optim_wrapper(model, options)
