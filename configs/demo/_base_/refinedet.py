# RefineDet in place of FCOS: same backbone.
_base_ = './fcos.py'

matching = dict(
    assigner=dict(type='BipartiteAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5),
    sampler=dict(type='PseudoSampler'),
    neg_pos_ratio=3,
)
model = dict(
    type='mmvovnet.RefineDet',
    data_preprocessor=dict(pad_size_divisor=64),
    neck=dict(
        _delete_=True,
        type='mmvovnet.TransferConnectionNeck',
        in_channels=[256, 384, 512],
        out_channels=128,
        extra_channels=256,
    ),
    arm_head=dict(
        type='mmvovnet.ARMHead',
        in_channels=[256, 384, 512, 256],
        planes=64,
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=2,  # anchors from 16 pixels: digits are small
            scales_per_octave=3,
            ratios=[1.0, 1.6],  # height / width: digits are upright
            strides=[8, 16, 32, 64],
            centers=[(4, 4), (8, 8), (16, 16), (32, 32)],
        ),
    ),
    bbox_head=dict(
        _delete_=True,
        type='mmvovnet.ODMHead',
        num_classes=10,
        in_channels=[128, 128, 128, 128],
        planes=64,
    ),
    train_cfg=dict(arm=matching, odm=matching),
    test_cfg=dict(
        _delete_=True,
        score_thr=0.01,
        nms_pre=1000,
        nms=dict(type='nms', iou_threshold=0.45),
        max_per_img=100,
    ),
)
