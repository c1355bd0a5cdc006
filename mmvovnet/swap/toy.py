"""One step on two toy images, for any model of OpenMMLab's libraries."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from mmvovnet.tasks import dicts

from .changes import type_name

# Models of fewer queries take the same step in less time, on smaller images.
_QUERIES = 20
_COUNTS = ('num_queries', 'num_query', 'num_proposals')


@contextmanager
def silence() -> Iterator[None]:
    """Keep what mmengine tells of every weight to itself."""
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
    """Build a config's model with random weights, its queries fewer.

    Args:
        cfg (Config): It is not changed.
        size (int): Pixels of the images' sides. Defaults to 64.
    """
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    model = deepcopy(cfg.model)
    if cfg.get('data_preprocessor'):
        model.setdefault('data_preprocessor', deepcopy(cfg.data_preprocessor))
    for path, node in dicts(model):
        for key in _COUNTS:
            if type(node.get(key)) is int:
                node[key] = min(node[key], _QUERIES)
        if node.get('pretrained'):
            node['pretrained'] = None
        is_file = type_name(node) == 'Pretrained' or 'checkpoint' in node
        if path and 'init_cfg' in (path[-1], *path[-2:]) and is_file:
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


def _loads(cfg: Config) -> dict[str, Any]:
    """What the training pipeline loads with an image."""
    loads: dict[str, Any] = {}
    for _, node in dicts(cfg.get('train_dataloader') or {}):
        kind = type_name(node)
        if kind == 'LoadPanopticAnnotations':
            loads |= dict(with_mask=True, with_semantic=True)
        if node.get('with_mask'):
            loads['with_mask'] = True
        if node.get('with_seg'):
            loads['with_semantic'] = True
        if kind == 'SegRescale':
            stride = round(1 / node.get('scale_factor', 1))
            loads['sem_seg_output_strides'] = stride
    return loads


def batch(cfg: Config, size: int = 64) -> dict[str, Any]:
    """Two small random images with labels of the kind that a config trains.

    Args:
        cfg (Config): It decides the library, and what its images come with.
        size (int): Pixels of the images' sides. Defaults to 64.

    Returns:
        dict: What the model's ``train_step`` takes.
    """
    scope = cfg.get('default_scope')
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
        head = cfg.model.get('bbox_head') or {}
        velocity = head.get('pred_velo', False)
        samples = mono3d(images, classes, velocity)
        return dict(inputs=dict(img=images), data_samples=samples)
    return _detection(cfg, images, classes)


def _detection(cfg: Config, images: list[Tensor], classes: int) -> dict:
    from mmdet.testing import (
        demo_mm_inputs,
        demo_mm_proposals,
        demo_track_inputs,
    )

    shape = tuple(images[0].shape)
    preprocessor = type_name(cfg.model.get('data_preprocessor'))
    loads = _loads(cfg)
    if preprocessor == 'TrackDataPreprocessor':
        loads.pop('sem_seg_output_strides', None)
        return demo_track_inputs(
            2,
            2,
            key_frames_inds=[0],
            image_shapes=[shape] * 2,
            num_items=[2, 2],
            num_classes=classes,
            **loads,
        )
    if preprocessor == 'ReIDDataPreprocessor':
        return _reid(images, classes)

    def inputs() -> dict:
        made = demo_mm_inputs(
            2,
            image_shapes=[shape] * 2,
            num_items=[2, 2],
            num_classes=max(min(classes, 80), 2),
            **loads,
        )
        for sample in made['data_samples']:
            sample.gt_instances.labels %= classes
            sample.set_metainfo(
                dict(
                    homography_matrix=torch.eye(3).numpy(),
                    batch_input_shape=shape[1:],
                )
            )
            if type_name(cfg.model) == 'FastRCNN':
                sample.proposals = demo_mm_proposals([shape], 20)[0]
        return made

    if preprocessor != 'MultiBranchDataPreprocessor':
        return inputs()
    branches = {name: inputs() for name in ('sup', 'unsup_teacher')}
    branches['unsup_student'] = deepcopy(branches['unsup_teacher'])
    return dict(
        inputs={k: v['inputs'] for k, v in branches.items()},
        data_samples={k: v['data_samples'] for k, v in branches.items()},
    )


def _reid(images: list[Tensor], classes: int) -> dict:
    """Two persons, two images of each."""
    from mmdet.structures import ReIDDataSample

    tall = [image[..., : image.size(-1) // 2] for image in images]
    sample = ReIDDataSample()
    sample.set_gt_label([0, 0, classes - 1, classes - 1])
    inputs = torch.stack([*tall, *(image.flip(-1) for image in tall)])
    return dict(inputs=[inputs[[0, 2, 1, 3]]], data_samples=[sample])


def _classification(cfg: Config, images: list[Tensor], classes: int) -> dict:
    views = [
        sum(node.get('num_views', [2]))
        for _, node in dicts(cfg.get('train_dataloader') or {})
        if type_name(node) == 'MultiView'
    ]
    samples = classification(images, classes)
    for sample in samples:
        sample.set_field(classes, 'num_classes', field_type='metainfo')
    inputs: Any = images
    if views:  # of the same image, for self-supervision
        inputs = [torch.stack(images) for _ in range(views[0])]
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
        sample = SegDataSample()
        size = image.shape[1:]
        labels = torch.randint(classes, (1, *size))
        sample.gt_sem_seg = PixelData(data=labels)
        sample.set_metainfo(
            dict(img_shape=size, ori_shape=size, pad_shape=size)
        )
        samples.append(sample)
    return samples


def mono3d(images: list[Tensor], classes: int, velocity: bool) -> list:
    """Two objects in front of a camera, 10 m and 20 m away."""
    from mmdet3d.structures import CameraInstance3DBoxes, Det3DDataSample
    from mmengine.structures import InstanceData

    samples = []
    for image in images:
        height, width = image.shape[1:]
        camera = np.eye(4, dtype=np.float32)
        camera[0, 0] = camera[1, 1] = width
        camera[:2, 2] = width / 2, height / 2
        near, far = [-1, 0, 10, 4, 2, 2, 0.1], [2, 0, 20, 4, 2, 2, 0.2]
        speed = [0.5, 0.5] * velocity
        boxes = torch.tensor([near + speed, far + speed])
        labels = torch.arange(2) % classes
        centers = boxes[:, :2] / boxes[:, 2:3] * width
        centers += torch.tensor([width / 2, height / 2])
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
                img_shape=(height, width),
                ori_shape=(height, width),
                pad_shape=(height, width),
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
    """Run a model on a batch as in training.

    Args:
        model (BaseModel): As of :func:`build`.
        data (dict): As of :func:`batch`.

    Returns:
        Tensor: The sum of its losses.
    """
    model.train()
    for count in ('iter', 'epoch'):  # as a runner does
        MessageHub.get_current_instance().update_info(count, 0)
    data = model.data_preprocessor(data, True)
    found = (
        model(**data, mode='loss')
        if isinstance(data, dict)
        else model(*data, mode='loss')
    )
    return model.parse_losses(found)[0]


def step(cfg: Config, model: BaseModel, loss: Tensor) -> list[str]:
    """Take a step of training with a config's optimizer.

    Args:
        cfg (Config): Its optimizer works in full precision here.
        model (BaseModel): The model that gave the loss.
        loss (Tensor): The loss.

    Returns:
        list[str]: Parameters that train and got no gradient.
    """
    options = deepcopy(cfg.get('optim_wrapper')) or dict(
        optimizer=dict(type='SGD', lr=0.01)
    )
    if type_name(options) in ('AmpOptimWrapper', 'ApexOptimWrapper'):
        for key in ('loss_scale', 'dtype', 'opt_level', 'use_fp16_params'):
            options.pop(key, None)
        options['type'] = 'OptimWrapper'
    options.pop('accumulative_counts', None)
    optimizer = build_optim_wrapper(model, options)
    optimizer.backward(loss)
    idle = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    optimizer.step()
    return idle
