"""A config changes what it means to of its base, and nothing else."""

import re

import pytest
import torch
from mmengine.registry import MODELS

from mmvovnet.weights.dialects import IMAGENET, Pixels
from mmvovnet.weights.public import default_weights, public_file

from .files import CONFIGS, ROOT, dataset_of, leaves, load, name, parse

# The demos have data of their own, and peers a backbone.
PUBLIC = [
    path
    for path in CONFIGS
    if path.parent.name != 'demo' and 'vovnet' in path.stem
]
ABLATIONS = [path for path in CONFIGS if path.parent.name == 'ablations']

FOREIGN = re.compile(
    r'resnet|torchvision|open-mmlab|caffe|\.pth|(?<!vovnet)://'
)
# Trained from scratch, on the pixels of ImageNet's classifiers or of CIFAR-10.
PIXELS = {
    'CIFAR10': Pixels(
        'BGR', (125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255)
    ),
}
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
    cfg = parse(path)
    assert not cfg.load_from
    for key, value in leaves(cfg.model):
        assert not (isinstance(value, str) and FOREIGN.search(value)), key

    kind = dataset_of(cfg.train_dataloader).type
    given = cfg.model.get('data_preprocessor') or cfg.data_preprocessor
    swaps = given.get('bgr_to_rgb', given.get('to_rgb'))
    order = 'RGB' if swaps else 'BGR'
    pixels = Pixels(order, tuple(given.mean), tuple(given.std))
    init_cfg = cfg.model.backbone.get('init_cfg')
    if init_cfg:
        assert pixels == public_file(init_cfg.checkpoint[9:]).pixels
    else:
        assert pixels == PIXELS.get(kind, IMAGENET)

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
    changed = {
        key
        for key, value in ablation.model.backbone.items()
        if value != backbone.get(key)
    }
    assert len(changed - {'init_cfg'}) == 1
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


# Nothing public that lives fits these, or their papers train them so.
SCRATCH = re.compile(
    r'^(vovnet|demo|dsod)/|scratch|vovnet93|slim-dw|'
    r'ablations/.*_(bottleneck|gate-(se|eca)|gn|layers-3|no-identity|paper-stem)_1x'
)


@pytest.mark.parametrize('path', PUBLIC, ids=name)
def test_it_starts_trained(path):
    """From weights of a host that lives, in the network of these weights."""
    cfg = parse(path)
    backbone = cfg.model.backbone
    if SCRATCH.search(name(path)):
        assert not backbone.get('init_cfg')
        assert backbone.get('frozen_stages', -1) == -1
        assert not backbone.get('norm_eval')
        return
    assert backbone.init_cfg.type == 'Pretrained'
    scheme, weights = backbone.init_cfg.checkpoint.split('://')
    file = public_file(weights)
    assert scheme == 'vovnet' and weights == file.name and file.lives
    arch = file.options['arch']
    if isinstance(arch, str) and not weights.endswith('_toolbox'):
        cameras = 'mono3d' in path.stem and arch == 'V-99-eSE'
        assert cameras or file == default_weights(arch)
    hidden = ('arch', 'stem_strides', 'pool_padding', 'identity')
    for option in hidden:
        default = dict(stem_strides=(2, 1, 2), pool_padding=0, identity=None)
        expected = file.options.get(option, default.get(option))
        given = backbone.get(option, default.get(option))
        if option == 'stem_strides':
            expected, given = tuple(expected), tuple(given)
        if option == 'arch' and isinstance(expected, dict):
            given = {k: v for k, v in given.items() if k in expected}
            expected = {
                k: tuple(v) if isinstance(v, list) else v
                for k, v in expected.items()
            }
        assert given == expected, option
