# CenterMask2 on VoVNetV2-39 as its authors built and trained it, but for the
# data, the number of epochs, and the weights that it starts from, with their
# pixels. tools/test.py gives checkpoints of youngwanLEE/centermask2 their own.
# Batch norms keep the statistics of the weights and nothing else is frozen.
_base_ = [
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
    './runtime.py',
]

found = dict(
    nms_pre=1000,  # of a level
    score_thr=0.05,  # of the class, without centerness
    nms=dict(type='nms', iou_threshold=0.6),
)
model = dict(
    type='mmvovnet.CenterMask',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        **_base_.vovnet39_ese.data_preprocessor,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='mmvovnet.VoVNet',
        **_base_.vovnet39_ese.backbone,
        out_indices=(1, 2, 3),
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
    ),
    neck=dict(
        type='FPN',
        in_channels=[512, 768, 1024],
        out_channels=256,
        num_outs=5,
        add_extra_convs='on_output',
        relu_before_extra_convs=True,
    ),
    bbox_head=dict(
        type='FCOSHead',
        num_classes=80,
        in_channels=256,
        feat_channels=256,
        stacked_convs=4,
        strides=[8, 16, 32, 64, 128],
        regress_ranges=(
            (-1, 64),
            (64, 128),
            (128, 256),
            (256, 512),
            (512, 1e8),
        ),
        norm_on_bbox=True,
        centerness_on_reg=True,
        center_sampling=True,
        center_sample_radius=1.5,
        conv_bias=True,
        norm_cfg=dict(type='GN', num_groups=32),
        loss_cls=dict(
            type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25
        ),
        loss_bbox=dict(type='GIoULoss'),
    ),
    roi_head=dict(
        type='mmvovnet.CenterMaskRoIHead',
        mask_roi_extractor=dict(
            type='mmvovnet.AdaptiveRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[8, 16, 32],
        ),
        mask_head=dict(
            type='mmvovnet.SpatialAttentionMaskHead',
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=80,
        ),
        mask_iou_head=dict(
            type='MaskIoUHead',
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            fc_out_channels=1024,
            num_classes=80,
        ),
    ),
    train_cfg=dict(
        proposal=dict(max_per_img=100, **found),
        roi_head=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=False,
            ),
            sampler=dict(
                type='RandomSampler',
                num=512,
                pos_fraction=0.25,
                add_gt_as_proposals=True,
            ),
            mask_size=28,
            mask_thr_binary=0,  # of logits: a probability of 0.5
        ),
    ),
    test_cfg=dict(
        bbox_head=dict(max_per_img=50, **found),
        roi_head=dict(mask_thr_binary=0.5),
    ),
)

optim_wrapper = dict(
    optimizer=dict(lr=0.01), paramwise_cfg=dict(norm_decay_mult=0.0)
)
warmup, _ = _base_.param_scheduler
warmup.update(end=1000)

# 8 GPUs x 2 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
