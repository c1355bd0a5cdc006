"""How often a host would wait for its GPU in a step of a detector."""

from collections import Counter

import pytest

pytest.importorskip('mmdet', reason='mmdet is not installed')
pytest.importorskip('mmcv.ops', reason='mmcv has no ops')
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, init_default_scope
from torch.utils._python_dispatch import TorchDispatchMode

from mmvovnet.models.refinedet import BipartiteAssigner

from .test_centermask import small as centermask
from .test_refinedet import small as refinedet

aten = torch.ops.aten
READS = (
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten._unique2.default,
    aten.equal.default,
)


class Waits(TorchDispatchMode):
    """Counts what needs a tensor's values on the host."""

    def __init__(self):
        super().__init__()
        self.kinds = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if func in READS:
            self.kinds[name] += 1
        elif name in ('index', 'index_put', 'index_put_'):
            masks = [i for i in args[1] if i is not None]
            # A number is filled in by a mask without a wait.
            if name == 'index' or args[2].dim():
                self.kinds[name] += sum(i.dtype == torch.bool for i in masks)
        return func(*args, **(kwargs or {}))


def ssd():
    """With mmdet's own loss, on the maps of the small RefineDet."""
    cfg = refinedet.config()
    init_default_scope('mmdet')
    torch.manual_seed(0)
    return MODELS.build(
        ConfigDict(
            type='SingleStageDetector',
            data_preprocessor=cfg['data_preprocessor'],
            backbone=cfg['backbone'],
            neck=dict(
                type='SSDNeck',
                in_channels=[24, 32, 40],
                out_channels=[24, 32, 40, 32],
                level_strides=[2],
                level_paddings=[1],
                l2_norm_scale=None,
            ),
            bbox_head=dict(
                type='mmvovnet.SSDHead',
                num_classes=3,
                in_channels=[24, 32, 40, 32],
                anchor_generator=dict(
                    type='SSDAnchorGenerator',
                    scale_major=False,
                    input_size=64,
                    min_sizes=[8, 16, 32, 48],
                    max_sizes=[16, 32, 48, 60],
                    strides=[8, 16, 32, 64],
                    ratios=[[2]] * 4,
                ),
                bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
            ),
            train_cfg=dict(
                assigner=dict(
                    type='MaxIoUAssigner',
                    pos_iou_thr=0.5,
                    neg_iou_thr=0.5,
                    min_pos_iou=0.0,
                    ignore_iof_thr=-1,
                    gt_max_assign_all=False,
                ),
                sampler=dict(type='PseudoSampler'),
                smoothl1_beta=1.0,
                allowed_border=-1,
                pos_weight=-1,
                neg_pos_ratio=3,
            ),
            test_cfg=cfg['test_cfg'],
        )
    )


# Of a training step and of a prediction, for two images.
WAITS = {
    'RefineDet': (refinedet, refinedet.build, 12, 2),
    'SSD': (refinedet, ssd, 40, 16),
    'CenterMask': (centermask, centermask.build, 40, 20),
}


@pytest.mark.parametrize('name', WAITS)
def test_waits(name):
    """RefineDet with its two heads waits less than SSD of mmdet."""
    small, build, *expected = WAITS[name]
    model = build()
    found = []
    for mode in ('loss', 'predict'):
        data = small.batch(model.train(mode == 'loss'))
        with Waits() as waits, torch.set_grad_enabled(mode == 'loss'):
            model(**data, mode=mode)
        found.append(waits.kinds.total())
    assert found == expected


@pytest.mark.parametrize('objects', [1, 5])
def test_the_matching_does_not_wait_for_each_object(objects):
    assigner = BipartiteAssigner(pos_iou_thr=0.5, neg_iou_thr=0.5)
    with Waits() as waits:
        assigner.assign_wrt_overlaps(
            torch.rand(objects, 40), torch.arange(objects)
        )
    assert waits.kinds.total() == 3
