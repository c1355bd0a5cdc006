"""A config changes what it means to of its base, and nothing else."""

import re

import pytest
import torch
from mmengine.registry import MODELS

from .files import CONFIGS, ROOT, dataset_of, leaves, load, name

# The demos have data of their own, and peers a backbone.
PUBLIC = [
    path
    for path in CONFIGS
    if path.parent.name != 'demo' and 'vovnet' in path.stem
]
ABLATIONS = [path for path in CONFIGS if path.parent.name == 'ablations']

FOREIGN = re.compile(r'resnet|torchvision|open-mmlab|caffe|\.pth|://')
PIXELS = {
    'CocoDataset': [
        # torchvision, timm and our classifiers
        ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], True),
        # detectron2
        ([103.53, 116.28, 123.675], [1.0, 1.0, 1.0], False),
    ],
    'VOCDataset': [([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], True)],
    'CIFAR10': [
        ([125.307, 122.961, 113.8575], [51.5865, 50.847, 51.255], False),
    ],
}
PIXELS['ImageNet'] = PIXELS['ADE20KDataset'] = PIXELS['CocoDataset'][:1]
PIXELS['CocoPanopticDataset'] = PIXELS['CocoDataset']
PIXELS['CityscapesDataset'] = PIXELS['CocoDataset'][:1]
# MMDetection3D and its descendants
PIXELS['NuScenesDataset'] = PIXELS['KittiDataset'] = [
    ([103.53, 116.28, 123.675], [57.375, 57.12, 58.395], False)
]
CLASSES = {
    'CocoDataset': {80},
    'CocoPanopticDataset': {80},
    'VOCDataset': {20},
    'CIFAR10': {10},
    'ImageNet': {1000},
    'ADE20KDataset': {150},
    'CityscapesDataset': {19},
    'NuScenesDataset': {10},
    'KittiDataset': {3},
}


@pytest.mark.parametrize('path', PUBLIC, ids=name)
def test_nothing_is_left_of_the_base(path):
    """No checkpoint, pixels or classes of the config it inherits."""
    cfg = load(path)
    assert not cfg.load_from
    for key, value in leaves(cfg.model):
        assert not (isinstance(value, str) and FOREIGN.search(value)), key

    kind = dataset_of(cfg.train_dataloader).type
    pixels = cfg.model.get('data_preprocessor') or cfg.data_preprocessor
    swaps = pixels.get('bgr_to_rgb', pixels.get('to_rgb'))
    assert (pixels.mean, pixels.std, swaps) in PIXELS[kind]

    classes = {
        value
        for key, value in leaves([cfg.model, cfg.get('data_preprocessor', {})])
        if key in ('num_classes', 'num_things_classes')
    }
    assert classes == CLASSES[kind]


@pytest.mark.parametrize('path', ABLATIONS, ids=lambda path: path.stem)
def test_an_ablation_changes_one_thing(path):
    (base,) = re.findall(r"^_base_ = '(.+)'$", path.read_text(), re.M)
    base, ablation = load(path.parent / base), load(path)
    changed = {k for k, v in ablation.items() if v != base.get(k)}
    if changed != {'model'}:
        assert changed <= {'optim_wrapper', 'runner_type', 'strategy'}
        return
    backbone = base.model.backbone
    assert (
        sum(
            value != backbone.get(key)
            for key, value in ablation.model.backbone.items()
        )
        == 1
    )
    ablation.model.backbone = backbone
    assert ablation.model == base.model


def test_from_scratch_nothing_is_frozen(scope):
    stem = 'mask-rcnn_vovnet39-scratch_fpn_gn-all_3x_coco'
    cfg = load(ROOT / 'mask_rcnn' / f'{stem}.py')
    scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(cfg.model).train()
    assert all(p.requires_grad for p in model.parameters())
    for part in (
        model.backbone,
        model.neck,
        model.roi_head.bbox_head,
        model.roi_head.mask_head,
    ):
        kinds = {type(module).__name__ for module in part.modules()}
        assert 'GroupNorm' in kinds
        assert 'BatchNorm2d' not in kinds
