"""The schedules of the authors and of today."""

import pytest

from mmvovnet import VoVNet

from .files import ROOT, load


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
