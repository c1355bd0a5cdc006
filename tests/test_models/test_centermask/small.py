"""A small CenterMask, and batches for it."""

import torch
from mmdet.testing import demo_mm_inputs
from mmengine.registry import MODELS, init_default_scope

from tests.test_deploy.small import ARCH, settle

NUM_CLASSES = 3
FOUND = dict(
    nms_pre=1000,
    score_thr=0.05,
    nms=dict(type='nms', iou_threshold=0.6),
    max_per_img=100,
)


def config(num_classes=NUM_CLASSES, **changes):
    """Parts in ``changes`` replace those of the model."""
    cfg = dict(
        type='mmvovnet.CenterMask',
        data_preprocessor=dict(
            type='DetDataPreprocessor',
            mean=[110.0, 120.0, 130.0],
            std=[50.0, 60.0, 70.0],
            pad_mask=True,
            pad_size_divisor=32,
        ),
        backbone=dict(
            type='mmvovnet.VoVNet', arch=ARCH, out_indices=(1, 2, 3)
        ),
        neck=dict(
            type='FPN',
            in_channels=[24, 32, 40],
            out_channels=32,
            add_extra_convs='on_output',
            num_outs=5,
            relu_before_extra_convs=True,
        ),
        bbox_head=dict(
            type='FCOSHead',
            num_classes=num_classes,
            in_channels=32,
            feat_channels=32,
            stacked_convs=1,
            strides=[8, 16, 32, 64, 128],
            norm_on_bbox=True,
            centerness_on_reg=True,
            center_sampling=True,
            conv_bias=True,
            loss_bbox=dict(type='GIoULoss', loss_weight=1.0),
        ),
        roi_head=dict(
            type='mmvovnet.CenterMaskRoIHead',
            mask_roi_extractor=dict(
                type='mmvovnet.AdaptiveRoIExtractor',
                roi_layer=dict(
                    type='RoIAlign', output_size=14, sampling_ratio=0
                ),
                out_channels=32,
                featmap_strides=[8, 16, 32],
            ),
            mask_head=dict(
                type='mmvovnet.SpatialAttentionMaskHead',
                num_convs=1,
                in_channels=32,
                conv_out_channels=16,
                num_classes=num_classes,
            ),
            mask_iou_head=dict(
                type='MaskIoUHead',
                num_convs=1,
                in_channels=32,
                conv_out_channels=8,
                fc_out_channels=16,
                num_classes=num_classes,
            ),
        ),
        train_cfg=dict(
            proposal=FOUND,
            roi_head=dict(
                assigner=dict(
                    type='MaxIoUAssigner',
                    pos_iou_thr=0.5,
                    neg_iou_thr=0.5,
                    min_pos_iou=0.5,
                    match_low_quality=False,
                ),
                sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25),
                mask_size=28,
                mask_thr_binary=0,
            ),
        ),
        test_cfg=dict(
            bbox_head={**FOUND, 'max_per_img': 50},
            roi_head=dict(mask_thr_binary=0.5),
        ),
    )
    return cfg | changes


def build(**changes):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(config(**changes))
    model.init_weights()
    return model


def trained(**changes):
    """A model that finds something: its weights are not at their start."""
    model = settle(build(**changes))
    head = model.bbox_head
    torch.nn.init.normal_(head.conv_cls.weight, std=0.5)
    torch.nn.init.constant_(head.conv_cls.bias, -1)
    torch.nn.init.constant_(head.conv_reg.bias, 2)
    mask_head = model.roi_head.mask_head
    torch.nn.init.normal_(mask_head.conv_logits.weight, std=1)
    return model


def batch(model, num_items=(2, 3), shape=(3, 64, 96), **kwargs):
    """What the model's preprocessor makes of random images."""
    data = demo_mm_inputs(
        len(num_items),
        image_shapes=[shape] * len(num_items),
        num_items=list(num_items),
        with_mask=True,
        **dict(num_classes=model.bbox_head.num_classes) | kwargs,
    )
    return model.data_preprocessor(data, training=True)
