"""Every config parses, builds, fits together and makes a step."""

import copy
import re
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from torch import nn

from mmvovnet import VoVNet
from mmvovnet.analysis import count_cost

from . import batches

ROOT = Path(__file__).parents[1] / 'configs'
# At the top of the folder stand three short names of configs below.
DOORS = sorted(ROOT.glob('*.py'))
CONFIGS = sorted(p for p in ROOT.glob('*/*.py') if p.parent.name != '_base_')
FOLDERS = sorted({path.parent for path in CONFIGS})
METAFILES = sorted(ROOT.rglob('metafile.yml'))
LISTED = [
    pytest.param(model, id=model['Name'])
    for path in METAFILES
    if path.parent != ROOT
    for model in yaml.safe_load(path.read_text())['Models']
]
ABLATIONS = [path for path in CONFIGS if path.parent.name == 'ablations']
# What checks the papers' claims; it is run by tools/paper.py.
PAPER = ROOT / 'paper'
# The demos have data of their own, and peers a backbone.
PEERS = [
    path
    for path in CONFIGS
    if path.parent == PAPER or 'vovnet' not in path.stem
]
PUBLIC = [
    path
    for path in CONFIGS
    if path.parent.name != 'demo' and path not in PEERS
]

# In CI one config steps for each head, backbone and option; those named here
# are larger or longer trained versions of others.
LARGE = re.compile(
    r'vovnet(57|93|99)|ms-3x|_2x|300e|rtmdet|panoptic|slim-ese|cityscapes|'
    r'lite_vovnet(39|19-ese)|'
    r'fcos_vovnet39_fpn_(gate|no|paper|layers|syncbn|fsdp)|'
    r'refinedet512|refinedet320_(vovnet39|r50|r101)'
)

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


def name(path):
    return str(path.relative_to(ROOT))


@pytest.fixture
def scope():
    """The scope a config names, and none afterwards."""
    yield init_default_scope
    DefaultScope._instance_dict.clear()


def load(path):
    return copy.deepcopy(parse(path.resolve()))


@cache
def parse(path):
    try:
        return Config.fromfile(path)
    except (ModuleNotFoundError, AssertionError) as error:
        if 'is not installed' in str(error) or 'mmseg' in str(error):
            pytest.skip(str(error))
        raise


def leaves(node, key=''):
    """Every key and value of a config, those of nested ones too."""
    if isinstance(node, dict):
        for inner, value in node.items():
            yield from leaves(value, inner)
    elif isinstance(node, list | tuple) and any(
        isinstance(value, dict) for value in node
    ):
        for value in node:
            yield from leaves(value, key)
    else:
        yield key, node


def dataset_of(loader):
    """The data set itself, without what repeats it or joins several."""
    dataset = loader.dataset
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset.get('dataset') or dataset.datasets[0]
    return dataset


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


def input_size(cfg):
    """Pixels that suffice; SSD's last conv needs all of the image."""
    return 300 if cfg.model.get('neck', {}).get('type') == 'SSDNeck' else 64


def test_names():
    """mim lowers the case of a query and finds a config by its base name."""
    stems = [path.stem for path in DOORS + CONFIGS]
    assert stems
    assert all(stem == stem.lower() for stem in stems)
    assert len(set(stems)) == len(stems)


@pytest.mark.parametrize('path', DOORS, ids=name)
def test_a_door_opens_on_one_config(path):
    comment, base = path.read_text().splitlines()
    assert comment.startswith('# ')
    (target,) = re.findall(r"^_base_ = '\./(\w+/.+\.py)'$", base)
    assert load(path).to_dict() == load(ROOT / target).to_dict()


def test_the_doors():
    """The paths that people know."""
    assert [path.stem for path in DOORS] == [
        'fcos_vovnet39',
        'retinanet_vovnet39',
        'vovnet39_in1k',
    ]


def test_the_index_imports_every_metafile():
    index = yaml.safe_load((ROOT.parent / 'model-index.yml').read_text())
    paths = [str(path.relative_to(ROOT.parent)) for path in METAFILES]
    assert sorted(index['Import']) == paths


@pytest.mark.parametrize('folder', FOLDERS, ids=name)
def test_a_folder_says_and_lists_what_it_holds(folder):
    if folder == PAPER:
        pytest.skip('not for mim: tools/paper.py runs these')
    page = (folder / 'README.md').read_text()
    assert f'<!-- table: {folder.name} -->' in page
    listed = yaml.safe_load((folder / 'metafile.yml').read_text())
    (collection,) = listed['Collections']
    assert collection['README'] == f'configs/{folder.name}/README.md'
    assert collection['Metadata']['Weight'] == 'none/'  # see docs/configs.md
    for model in listed['Models']:
        assert model['In Collection'] == collection['Name']
    assert sorted(model['Config'] for model in listed['Models']) == sorted(
        str(path.relative_to(ROOT.parent)) for path in folder.glob('*.py')
    )


def test_the_pages_name_configs_that_exist():
    pages = [
        ROOT.parent / 'README.md',
        *ROOT.parent.glob('docs/*.md'),
        *ROOT.rglob('README.md'),
    ]
    for page in pages:
        for path in re.findall(r'\bconfigs/[\w./-]+\.py', page.read_text()):
            # A reader's own, or NAME in capitals.
            placeholder = (
                path.startswith('configs/mine/') or Path(path).stem.isupper()
            )
            assert placeholder or (ROOT.parent / path).is_file(), (page, path)


@pytest.mark.parametrize('path', CONFIGS, ids=name)
def test_config(path, scope):
    cfg = load(path)
    scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)

    if path not in PEERS:
        fits_together(model, cfg)

    flexible = 'strategy' in cfg
    assert cfg.runner_type == (
        'FlexibleRunner' if flexible else 'mmvovnet.Runner'
    )
    assert cfg.custom_imports.imports[0] == 'mmvovnet.engine'
    assert cfg.auto_scale_lr.enable is False
    assert cfg.auto_scale_lr.base_batch_size >= cfg.train_dataloader.batch_size
    assert not cfg.train_dataloader.get('persistent_workers', False)


def fits_together(model, cfg):
    assert isinstance(model.backbone, VoVNet)
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
    if 'bbox_head' in cfg.model and dense and 'dcn' not in cfg.model.backbone:
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


@pytest.mark.parametrize('entry', LISTED)
def test_metafile(entry, scope):
    path = ROOT.parent / entry['Config']
    assert path.stem == entry['Name']
    cfg = load(path)
    assert epochs(cfg) == entry['Metadata']['Epochs']
    scope(cfg.default_scope)
    meta = entry['Metadata']
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
        # mmcv's deformable convs have no kernel to count with.
        neck = cfg.model.get('neck', {}).get('type')
        counts = 'dcn' not in cfg.model.backbone and neck != 'DLANeck'
        macs = (
            count_macs(model, cfg, meta.get('Image Size')) if counts else None
        )
    assert meta['Parameters'] == sum(p.numel() for p in model.parameters())
    assert meta.get('FLOPs') == macs


def count_macs(model, cfg, size):
    """Of the whole model at its image size, or of backbone and neck.

    How much work a head on boxes has depends on what is in the image.
    """
    if not size or 'roi_head' in cfg.model:
        model = nn.Sequential(model.backbone, model.neck)
    width, height = map(int, (size or '1280x800').split('x'))
    channels = cfg.model.backbone.get('in_channels', 3)
    return count_cost(model, (channels, height, width)).macs


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


def steps():
    """Every config, the large ones marked as slow."""
    return [
        pytest.param(
            path,
            id=name(path),
            marks=[pytest.mark.slow] if LARGE.search(path.stem) else [],
        )
        for path in CONFIGS
    ]


def batch(cfg):
    """Two small random images with labels of the right kind."""
    size = input_size(cfg)
    shape = (cfg.model.backbone.get('in_channels', 3), size, size)
    classes = max(v for k, v in leaves(cfg.model) if k == 'num_classes')
    images = list(torch.randint(256, (2, *shape), dtype=torch.uint8))
    if cfg.default_scope == 'mmpretrain':
        samples = batches.classification(images, classes)
        return dict(inputs=images, data_samples=samples)
    if cfg.default_scope == 'mmseg':
        samples = batches.segmentation(images, classes)
        return dict(inputs=images, data_samples=samples)
    if cfg.default_scope == 'mmdet3d':
        velocity = cfg.model.bbox_head.pred_velo
        samples = batches.mono3d(images, classes, velocity)
        return dict(inputs=dict(img=images), data_samples=samples)
    from mmdet.testing import demo_mm_inputs

    return demo_mm_inputs(
        2,
        image_shapes=[shape] * 2,
        num_items=[2, 2],
        num_classes=min(classes, 80),
        with_mask='mask_head' in cfg.model.get('roi_head', {}),
        with_semantic='semantic_head' in cfg.model,
    )


@pytest.mark.parametrize('path', steps())
def test_one_step_and_inference(path, scope):
    cfg = load(path)
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind != 'OptimWrapper' and not torch.cuda.is_available():
        pytest.skip(f'{kind} needs a CUDA device')
    scope(cfg.default_scope)
    torch.manual_seed(0)
    if 'data_preprocessor' in cfg:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    if cfg.default_scope == 'mmseg':  # it pads to the size of its crops
        cfg.model.data_preprocessor.size = (64, 64)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.init_weights()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    weight = [p for p in model.backbone.parameters() if p.dim() > 1][-1]
    before = weight.detach().clone()

    logs = model.train().train_step(batch(cfg), optimizer)
    assert torch.isfinite(logs['loss'])
    assert not weight.equal(before)

    with torch.no_grad():
        results = model.eval().test_step(batch(cfg))
    assert len(results) == 2
    for result in results:
        if cfg.default_scope == 'mmpretrain':
            assert torch.isclose(result.pred_score.sum(), torch.ones(()))
        elif 'semantic_head' in cfg.model:
            assert result.pred_panoptic_seg.sem_seg.shape[-2:] == (64, 64)
        elif cfg.default_scope == 'mmseg':
            assert result.pred_sem_seg.data.shape == (1, 64, 64)
            assert torch.isfinite(result.seg_logits.data).all()
        elif cfg.default_scope == 'mmdet3d':
            boxes = result.pred_instances_3d.bboxes_3d
            assert torch.isfinite(boxes.tensor).all()
        else:
            assert torch.isfinite(result.pred_instances.bboxes).all()


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


def test_the_recipe_of_the_authors():
    cfg = load(ROOT / 'vovnet' / 'vovnet39_8xb32_in1k.py')
    assert cfg.train_cfg.max_epochs == 90
    assert cfg.param_scheduler.milestones == [30, 60]
    assert cfg.param_scheduler.gamma == 0.1
    optimizer = dict(cfg.optim_wrapper.optimizer)
    optimizer.pop('_scope_', None)
    assert optimizer == dict(
        type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4
    )
    assert cfg.auto_scale_lr.base_batch_size == 256


def test_every_arch_has_a_classifier_by_it():
    archs = {
        load(path).model.backbone.arch
        for path in ROOT.glob('vovnet/*_8xb32_in1k.py')
    }
    assert archs == set(VoVNet.arch_settings)


def test_the_recipe_of_today():
    cfg = load(ROOT / 'vovnet' / 'vovnet57-ese_8xb256-300e_in1k.py')
    assert cfg.train_cfg.max_epochs == 300
    assert cfg.optim_wrapper.optimizer.type == 'Lamb'
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook']
    augments = [a.type for a in cfg.model.train_cfg.augments]
    assert augments == ['Mixup', 'CutMix']
    transforms = [t.type for t in cfg.train_dataloader.dataset.pipeline]
    assert 'RandAugment' in transforms


@pytest.mark.parametrize(
    ('pattern', 'lr', 'epochs', 'milestones', 'resize'),
    [
        ('*_rcnn/*_fpn_2x', 0.02, 24, [16, 22], 'Resize'),
        ('fcos/*_ms-2x', 0.01, 24, [16, 22], 'RandomResize'),
        ('fcos/*_ms-3x', 0.01, 36, [27, 33], 'RandomChoiceResize'),
        ('centermask/*_ms-3x', 0.01, 36, [27, 33], 'RandomChoiceResize'),
        ('centermask/*_ms-4x', 0.01, 48, [40, 45], 'RandomChoiceResize'),
        ('*_rcnn/*_ms-3x', 0.02, 36, [27, 33], 'RandomChoiceResize'),
        ('mask_rcnn/*-scratch_*_3x', 0.02, 36, [28, 33], 'Resize'),
    ],
)
def test_published_schedules(pattern, lr, epochs, milestones, resize):
    paths = list(ROOT.glob(f'{pattern}_coco.py'))
    assert paths
    for path in paths:
        cfg = load(path)
        assert cfg.optim_wrapper.optimizer.lr == lr
        assert cfg.train_cfg.max_epochs == epochs
        _, steps = cfg.param_scheduler
        assert (steps.end, steps.milestones) == (epochs, milestones)
        pipeline = cfg.train_dataloader.dataset.pipeline
        assert [t.type for t in pipeline if 'Resize' in t.type] == [resize]
        assert cfg.auto_scale_lr.base_batch_size == 16


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
