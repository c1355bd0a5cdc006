import copy

import pytest

pytest.importorskip('mmdet', reason='mmdet is not installed')
pytest.importorskip('mmcv.ops', reason='mmcv has no ops')
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import MODELS

from mmvovnet.models.ssd import SSDHead

HEAD = dict(
    type='mmvovnet.SSDHead',
    num_classes=2,
    in_channels=(8, 8, 8),
    anchor_generator=dict(
        type='SSDAnchorGenerator',
        scale_major=False,
        input_size=64,
        min_sizes=[16, 32, 48],
        max_sizes=[32, 48, 60],
        strides=[16, 32, 64],
        ratios=[[2], [2], [2]],
    ),
    bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
    test_cfg=dict(
        nms_pre=10,
        nms=dict(type='nms', iou_threshold=0.45),
        score_thr=0.0,
        max_per_img=5,
    ),
)


@pytest.fixture
def maps():
    return [torch.rand(1, 8, n, n) for n in (4, 2, 1)]


def predict(head, maps):
    meta = dict(img_shape=(64, 64), scale_factor=(1.0, 1.0))
    cfg = Config(HEAD).test_cfg
    return head.predict_by_feat(*head(maps), batch_img_metas=[meta], cfg=cfg)


def test_head_predicts_where_that_of_mmdet_cannot(maps):
    register_all_modules(init_default_scope=True)
    head = MODELS.build(copy.deepcopy(HEAD)).eval()
    assert isinstance(head, SSDHead)
    (found,) = predict(head, maps)
    assert found.bboxes.shape == (5, 4)

    stock = MODELS.build({**copy.deepcopy(HEAD), 'type': 'mmdet.SSDHead'})
    with pytest.raises(AttributeError, match='loss_cls'):
        predict(stock.eval(), maps)
