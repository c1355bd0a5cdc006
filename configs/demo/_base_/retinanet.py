# RetinaNet in place of FCOS: same backbone and neck.
_base_ = './fcos.py'

model = dict(
    type='RetinaNet',
    bbox_head=dict(
        _delete_=True,
        type='RetinaHead',
        num_classes=10,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        norm_cfg=dict(type='GN', num_groups=32),
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=2,  # anchors from 16 pixels: digits are small
            scales_per_octave=3,
            ratios=[1.0, 1.6],  # height / width: digits are upright
            strides=[8, 16, 32],
        ),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True),
        loss_bbox=dict(type='L1Loss'),
    ),
    train_cfg=dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0,
            ignore_iof_thr=-1,
        ),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
)
