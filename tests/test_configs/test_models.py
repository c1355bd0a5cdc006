"""Every config builds a model whose parts fit, with the listed counts."""

from functools import cache

import pytest
import torch
import yaml
from mmcv.ops import modulated_deform_conv
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from torch import nn
from torch.nn import functional

from mmvovnet import VoVNet
from mmvovnet.analysis import count_cost

from .files import (
    CONFIGS,
    METAFILES,
    ROOT,
    dataset_of,
    input_size,
    leaves,
    load,
    name,
)

LISTED = {
    ROOT.parent / model['Config']: model['Metadata']
    for path in METAFILES
    for model in yaml.safe_load(path.read_text())['Models']
}


@pytest.fixture(scope='module', autouse=True)
def deformable_convs_without_values():
    """mmcv's kernel needs values; a conv of the same shape counts as much."""

    def conv(x, offset, mask, weight, bias, *geometry_and_groups):
        return functional.conv2d(x, weight, bias, *geometry_and_groups[:-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modulated_deform_conv, 'modulated_deform_conv2d', conv)
        yield


BUILT = {}


@pytest.fixture(scope='module', params=CONFIGS, ids=name)
def built(request):
    """A config and its model without values, built once for all tests."""
    cfg = load(request.param)
    init_default_scope(cfg.default_scope)
    parts = cfg.model.to_dict()
    for key in ('init_cfg', 'frozen_stages', 'norm_eval'):
        parts['backbone'].pop(key, None)
    key = repr(parts)
    if key not in BUILT:
        with torch.device('meta'):
            # mmdet's L2Norm has a weight that ignores the device.
            BUILT[key] = MODELS.build(cfg.model).to('meta')
    yield request.param, cfg, BUILT[key]
    DefaultScope._instance_dict.clear()


def test_settings_of_every_config(built):
    _, cfg, _ = built
    flexible = 'strategy' in cfg
    assert cfg.runner_type == (
        'mmvovnet.FlexibleRunner' if flexible else 'mmvovnet.Runner'
    )
    assert cfg.custom_imports.imports[0] == 'mmvovnet.engine'
    assert cfg.auto_scale_lr.enable is False
    assert cfg.auto_scale_lr.base_batch_size >= cfg.train_dataloader.batch_size
    assert not cfg.train_dataloader.get('persistent_workers', False)


def test_parts_fit_together(built):
    path, cfg, model = built
    assert isinstance(model.backbone, VoVNet) == ('vovnet' in path.stem)
    if 'vovnet' not in path.stem:
        return
    channels = list(model.backbone.out_channels)
    strides = list(model.backbone.out_strides)
    if model.with_neck and hasattr(model.neck, 'in_channels'):
        assert list(model.neck.in_channels) == channels
    if cfg.default_scope == 'mmpretrain':
        assert [model.head.in_channels] == channels
    if cfg.default_scope == 'mmseg':
        fits_segmentation(model, channels, strides)
    if 'roi_head' in cfg.model:
        for key, value in leaves(cfg.model.roi_head):
            assert key != 'featmap_strides' or value == strides[-len(value) :]
    dense = cfg.model.get('bbox_head', {}).get('type') != 'SMOKEMono3DHead'
    if 'bbox_head' in cfg.model and dense:
        head = model.bbox_head
        points = getattr(head, 'prior_generator', head)
        of_head = [s[0] if isinstance(s, tuple) else s for s in points.strides]
        # Panoptic-CenterMask's semantic head takes a level more.
        first = strides.index(of_head[0])
        assert of_head[: len(strides) - first] == strides[first:]
        with torch.device('meta'):
            size = input_size(cfg)
            images = torch.rand(1, 3, size, size + 32)
            given = (
                dict(imgs=images) if cfg.default_scope == 'mmdet3d' else images
            )
            maps = model.eval().extract_feat(given)
        assert len(maps) == len(of_head) + first


def fits_segmentation(model, channels, strides):
    if model.with_neck:
        channels = [model.neck.out_channels] * len(channels)
        assert model.decode_head.feature_strides == strides
    for head in (model.decode_head, getattr(model, 'auxiliary_head', None)):
        if head is not None:
            indices = head.in_index
            several = isinstance(indices, list | tuple)
            taken = (
                [channels[i] for i in indices]
                if several
                else channels[indices]
            )
            assert head.in_channels == taken


def test_counts_of_the_metafile(built):
    path, cfg, model = built
    listed = LISTED[path]
    assert epochs(cfg) == listed['Epochs']
    assert listed['Parameters'] == sum(p.numel() for p in model.parameters())
    with torch.device('meta'):
        macs = count_macs(model, cfg, listed.get('Image Size'))
    assert listed['FLOPs'] == macs


def count_macs(model, cfg, size):
    """Of the whole model at its image size, or of backbone and neck.

    How much work a head on boxes has depends on what is in the image.
    """
    whole = bool(size) and 'roi_head' not in cfg.model
    width, height = map(int, (size or '1280x800').split('x'))
    channels = cfg.model.backbone.get('in_channels', 3)
    return macs_of(model, whole, (channels, height, width))


@cache
def macs_of(model, whole, shape):
    if not whole:
        model = nn.Sequential(model.backbone, model.neck)
    return count_cost(model, shape).macs


def epochs(cfg):
    """How often a training sees an image."""
    loop, loader = cfg.train_cfg, cfg.train_dataloader
    if 'max_epochs' in loop:
        return loop.max_epochs * loader.dataset.get('times', 1)
    images = {
        'CocoDataset': 118287,
        'VOCDataset': 5011 + 11540,
        'ADE20KDataset': 20210,
        'CityscapesDataset': 2975,
    }
    return round(
        loop.max_iters
        * cfg.auto_scale_lr.base_batch_size
        / images[dataset_of(loader).type]
    )
