import pytest
import torch

from . import small

THINGS, STUFF = small.NUM_CLASSES, 4


def build(trained=False):
    cfg = small.config()
    parts = dict(
        type='mmvovnet.PanopticCenterMask',
        backbone=cfg['backbone'] | dict(out_indices=(0, 1, 2, 3)),
        neck=cfg['neck'] | dict(in_channels=[16, 24, 32, 40], num_outs=6),
        semantic_head=dict(
            type='PanopticFPNHead',
            num_things_classes=THINGS,
            num_stuff_classes=STUFF,
            in_channels=32,
            inner_channels=32,
            loss_seg=dict(
                type='CrossEntropyLoss', ignore_index=255, loss_weight=0.5
            ),
        ),
        panoptic_fusion_head=dict(
            type='HeuristicFusionHead',
            num_things_classes=THINGS,
            num_stuff_classes=STUFF,
        ),
        test_cfg=cfg['test_cfg']
        | dict(
            panoptic=dict(score_thr=0.5, mask_overlap=0.5, stuff_area_limit=8)
        ),
    )
    return (small.trained if trained else small.build)(**parts)


def batch(model):
    return small.batch(
        model, with_semantic=True, num_items=[2, 1], shape=(3, 64, 64)
    )


def test_losses():
    model = build().train()
    losses = model.loss(*batch(model).values())
    assert losses['loss_seg'] > 0 and losses['loss_mask'] > 0
    sum(loss.sum() for loss in losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


@torch.no_grad()
def test_things_above_the_threshold_lie_on_stuff():
    model = build(trained=True)
    inputs, samples = batch(model).values()
    for sample in model.predict(inputs, samples):
        things = sample.pred_instances
        assert len(things) and things.masks.shape[1:] == (64, 64)
        segments = sample.pred_panoptic_seg.sem_seg
        assert segments.shape == (1, 64, 64)
        labels = segments.unique() % 1000
        assert ((labels >= 0) & (labels <= THINGS + STUFF)).all()
        assert (segments >= 1000).any()
    model.panoptic_cfg['score_thr'] = 1.0
    for sample in model.predict(inputs, samples):
        assert (sample.pred_panoptic_seg.sem_seg < 1000).all()
        assert len(sample.pred_instances)


@pytest.mark.parametrize('height', [64, 96])
def test_levels(height):
    """Boxes from strides 8 to 128, the semantic head from 4 to 32."""
    model = build().eval()
    outs = model(torch.rand(2, 3, height, 64), mode='tensor')
    *boxes, (seg,) = outs
    assert [len(part) for part in boxes] == [5, 5, 5]
    assert boxes[0][0].shape[2:] == (height // 8, 8)
    assert seg.shape == (2, STUFF + 1, height // 4, 16)
