"""A small RefineDet, and batches for it."""

import torch
from mmdet.testing import demo_mm_inputs
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, init_default_scope

import mmvovnet.models.refinedet  # noqa: F401
from tests.test_deploy.small import ARCH

MATCHING = dict(
    assigner=dict(type='BipartiteAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5),
    neg_pos_ratio=3,
)
ANCHORS = dict(
    type='AnchorGenerator',
    scales=[4],
    ratios=[1.0, 0.5, 2.0],
    strides=[8, 16, 32, 64],
    centers=[(4, 4), (8, 8), (16, 16), (32, 32)],
)


def config(num_classes=3, planes=4, **neck):
    return dict(
        type='mmvovnet.RefineDet',
        data_preprocessor=dict(
            type='DetDataPreprocessor',
            mean=[110.0, 120.0, 130.0],
            std=[50.0, 60.0, 70.0],
            pad_size_divisor=64,
        ),
        backbone=dict(
            type='mmvovnet.VoVNet',
            arch=ARCH,
            out_indices=(1, 2, 3),
            stem_strides=(2, 1, 1),
            identity=False,
        ),
        neck=dict(
            type='mmvovnet.TransferConnectionNeck',
            in_channels=[24, 32, 40],
            out_channels=16,
            extra_channels=32,
            **neck,
        ),
        arm_head=dict(
            type='mmvovnet.ARMHead',
            in_channels=[24, 32, 40, 32],
            planes=planes,
            anchor_generator=ANCHORS,
        ),
        bbox_head=dict(
            type='mmvovnet.ODMHead',
            num_classes=num_classes,
            in_channels=[16, 16, 16, 16],
            planes=planes,
        ),
        train_cfg=dict(arm=MATCHING, odm=MATCHING),
        test_cfg=dict(
            score_thr=0.01,
            nms_pre=1000,
            nms=dict(type='nms', iou_threshold=0.45),
            max_per_img=500,
        ),
    )


def build(**kwargs):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(ConfigDict(config(**kwargs)))
    model.init_weights()
    return model


def batch(model, num_items=(2, 3), shape=(3, 64, 96), **kwargs):
    """What the model's preprocessor makes of random images."""
    data = demo_mm_inputs(
        len(num_items),
        image_shapes=[shape] * len(num_items),
        num_items=list(num_items),
        **dict(num_classes=model.bbox_head.num_classes) | kwargs,
    )
    return model.data_preprocessor(data, training=True)
