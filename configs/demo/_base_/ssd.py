# SSD in place of FCOS: same backbone.
_base_ = './fcos.py'

model = dict(
    type='SingleStageDetector',
    neck=dict(
        _delete_=True,
        type='SSDNeck',
        in_channels=(256, 384, 512),
        out_channels=(256, 384, 512, 256),
        level_strides=(2,),
        level_paddings=(1,),
        l2_norm_scale=None,
        norm_cfg=dict(type='BN'),
    ),
    bbox_head=dict(
        _delete_=True,
        type='mmvovnet.SSDHead',
        num_classes=10,
        in_channels=(256, 384, 512, 256),
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=2,  # anchors from 16 pixels: digits are small
            scales_per_octave=3,
            ratios=[1.0, 1.6],  # height / width: digits are upright
            strides=[8, 16, 32, 64],
            centers=[(4, 4), (8, 8), (16, 16), (32, 32)],
        ),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]
        ),
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
        debug=False,
    ),
    test_cfg=dict(
        score_thr=0.01,
        nms=dict(type='nms', iou_threshold=0.45),
    ),
)
