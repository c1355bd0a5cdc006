"""Every config parses, builds, and fits together."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, init_default_scope

from mmvovnet import VoVNet

ROOT = Path(__file__).parents[1] / 'configs'
CONFIGS = sorted(p for p in ROOT.rglob('*.py') if '_base_' not in p.parts)
NAMES = [str(p.relative_to(ROOT)) for p in CONFIGS]


@pytest.fixture
def scope():
    """The scope a config names, and none afterwards."""
    yield init_default_scope
    DefaultScope._instance_dict.clear()


def load(path):
    try:
        return Config.fromfile(path)
    except (ModuleNotFoundError, AssertionError) as error:
        if 'is not installed' in str(error):
            pytest.skip(str(error))
        raise


def test_names():
    """mim lowers the case of a query and finds a config by its base name."""
    stems = [path.stem for path in CONFIGS]
    assert stems
    assert all(stem == stem.lower() for stem in stems)
    assert len(set(stems)) == len(stems)


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_config(path, scope):
    cfg = load(path)
    scope(cfg.default_scope)
    model = MODELS.build(cfg.model)

    assert isinstance(model.backbone, VoVNet)
    channels = list(model.backbone.out_channels)
    if model.with_neck and hasattr(model.neck, 'in_channels'):
        assert list(model.neck.in_channels) == channels
    if cfg.default_scope == 'mmpretrain':
        assert [model.head.in_channels] == channels

    assert cfg.runner_type == 'mmvovnet.Runner'
    assert cfg.custom_imports.imports == ['mmvovnet']
    assert cfg.auto_scale_lr.enable is False
    assert cfg.auto_scale_lr.base_batch_size >= cfg.train_dataloader.batch_size
    assert not cfg.train_dataloader.get('persistent_workers', False)


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_strides_of_head_and_backbone_agree(path, scope):
    cfg = load(path)
    scope(cfg.default_scope)
    if 'bbox_head' not in cfg.model:
        pytest.skip('no dense head')
    model = MODELS.build(cfg.model)
    strides = [
        s[0] if isinstance(s, tuple) else s
        for s in model.bbox_head.prior_generator.strides
    ]
    expected = list(model.backbone.out_strides)
    assert strides[: len(expected)] == expected
    with torch.no_grad():
        model.eval()
        maps = model.extract_feat(torch.rand(1, 3, 64, 96))
    assert len(maps) == len(strides)


@pytest.mark.parametrize(
    'path',
    sorted((ROOT / 'ablations').glob('*.py')),
    ids=lambda path: path.stem,
)
def test_an_ablation_is_a_few_lines(path):
    assert len(path.read_text().splitlines()) <= 10
    base, ablation = load(ROOT / 'fcos_vovnet39.py'), load(path)
    if path.stem.startswith('fcos_vovnet39'):
        changed = {
            key
            for key in ablation.model.backbone
            if ablation.model.backbone[key] != base.model.backbone.get(key)
        }
        assert len(changed) == 1
        ablation.model.backbone = base.model.backbone
        assert ablation.model == base.model


def test_the_recipe_of_the_authors():
    cfg = load(ROOT / 'vovnet39_in1k.py')
    assert cfg.train_cfg.max_epochs == 90
    assert cfg.param_scheduler.milestones == [30, 60]
    assert cfg.param_scheduler.gamma == 0.1
    optimizer = dict(cfg.optim_wrapper.optimizer)
    optimizer.pop('_scope_', None)
    assert optimizer == dict(
        type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4
    )
    assert cfg.auto_scale_lr.base_batch_size == 256
