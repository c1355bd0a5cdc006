"""The models as shipped, against what their authors publish."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mmvovnet.models.centermask import AdaptiveRoIExtractor

FOLDER = Path(__file__).parents[3] / 'configs' / 'centermask'
LITE = {
    f'centermask-lite_vovnet{name}-ese_fpn_ms-4x_coco'
    for name in ('19', '19-slim', '19-slim-dw', '39')
}
FULL = {
    f'{prefix}centermask_vovnet{name}_fpn_ms-3x_coco'
    for depth in (39, 57, 99)
    for prefix, name in (
        ('', f'{depth}-ese'),
        ('', f'{depth}-ese-dcn'),
        ('panoptic-', f'{depth}-ese'),
    )
}


def load(name):
    return Config.fromfile(FOLDER / f'{name}.py')


def test_all_are_here():
    assert {path.stem for path in FOLDER.glob('*.py')} == LITE | FULL


# arXiv 1911.06667, Table 4, rows of eSE: the whole model, M
@pytest.mark.parametrize(
    ('depth', 'published'), [(39, 52.6), (57, 68.9), (99, 96.9)]
)
def test_parameters_are_the_published_ones(depth, published):
    cfg = load(f'centermask_vovnet{depth}-ese_fpn_ms-3x_coco')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert abs(count - published) < 0.1


# configs/centermask and centermask/config/defaults.py of
# youngwanLEE/centermask2
@pytest.mark.parametrize('name', sorted(FULL | LITE))
def test_settings_of_the_authors(name):
    cfg = load(name)
    model, lite = cfg.model, name in LITE
    width, convs = (128, 2) if lite else (256, 4)
    scratch = 'slim-dw' in name  # no weights, so nothing is frozen
    assert model.backbone.norm_eval is not scratch
    assert model.backbone.norm_cfg.requires_grad is scratch
    assert model.backbone.get('frozen_stages', -1) == -1
    assert ('dcn' in model.backbone) == ('dcn' in name)

    head = model.bbox_head
    assert (head.feat_channels, head.stacked_convs) == (width, convs)
    assert head.strides == [8, 16, 32, 64, 128]
    limits = [high for _, high in head.regress_ranges[:-1]]
    assert limits == [64, 128, 256, 512]
    assert head.norm_on_bbox and head.centerness_on_reg and head.conv_bias
    assert (head.center_sampling, head.center_sample_radius) == (True, 1.5)
    assert (head.loss_cls.alpha, head.loss_cls.gamma) == (0.25, 2.0)
    assert head.loss_bbox.type == 'GIoULoss'
    assert head.norm_cfg == dict(type='GN', num_groups=32)

    for found, kept in (
        (model.train_cfg.proposal, 100),
        (model.test_cfg.bbox_head, 50),
    ):
        assert (found.nms_pre, found.score_thr) == (1000, 0.05)
        assert found.nms == dict(type='nms', iou_threshold=0.6)
        assert found.max_per_img == kept

    roi = model.roi_head
    for part in (roi.mask_head, roi.mask_iou_head):
        assert part.num_convs == convs
        assert part.in_channels == part.conv_out_channels == width
    assert roi.mask_iou_head.fc_out_channels == 1024
    assert roi.mask_roi_extractor.featmap_strides == [8, 16, 32]
    assert roi.mask_roi_extractor.roi_layer == dict(
        type='RoIAlign', output_size=14, sampling_ratio=0
    )
    sampler = model.train_cfg.roi_head.sampler
    assert (sampler.num, sampler.pos_fraction) == (512, 0.25)
    assert sampler.add_gt_as_proposals
    assert model.train_cfg.roi_head.assigner.pos_iou_thr == 0.5
    assert model.train_cfg.roi_head.mask_size == 28
    assert model.train_cfg.roi_head.mask_thr_binary == 0  # of logits

    assert cfg.optim_wrapper.optimizer.lr == 0.01
    assert cfg.optim_wrapper.paramwise_cfg == dict(norm_decay_mult=0.0)
    assert cfg.auto_scale_lr.base_batch_size == 16
    assert cfg.train_cfg.max_epochs == (48 if lite else 36)
    assert cfg.param_scheduler[0].end == 1000
    resize = cfg.train_dataloader.dataset.pipeline[2]
    sides = [580, 600] if lite else [*range(640, 801, 32)]
    longest = 1000 if lite else 1333
    assert resize.scales == [(longest, side) for side in sides]
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        (test,) = [
            t.scale for t in loader.dataset.pipeline if t.type == 'Resize'
        ]
        assert test == ((1000, 600) if lite else (1333, 800))


def test_panoptic_settings():
    cfg = load('panoptic-centermask_vovnet39-ese_fpn_ms-3x_coco')
    panoptic = cfg.model.test_cfg.panoptic
    assert panoptic == dict(
        score_thr=0.5, mask_overlap=0.5, stuff_area_limit=4096
    )
    assert cfg.model.semantic_head.loss_seg.loss_weight == 0.5
    assert cfg.model.semantic_head.inner_channels == 128
    kinds = [metric.type for metric in cfg.val_evaluator]
    assert kinds == ['CocoPanopticMetric', 'CocoMetric']


def test_rule_of_the_shipped_extractor():
    cfg = load('centermask_vovnet39-ese_fpn_ms-3x_coco')
    extractor = MODELS.build(cfg.model.roi_head.mask_roi_extractor)
    assert isinstance(extractor, AdaptiveRoIExtractor)
    assert all(layer.aligned for layer in extractor.roi_layers)
