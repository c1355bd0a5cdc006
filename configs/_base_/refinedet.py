# RefineDet on the paper's VoVNet, or on any backbone with strides 8, 16 and 32.
matching = dict(
    assigner=dict(type='BipartiteAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5),
    neg_pos_ratio=3,
)
model = dict(
    type='mmvovnet.RefineDet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=64,
    ),
    backbone=dict(
        type='mmvovnet.VoVNet',
        arch='V-39',
        out_indices=(1, 2, 3),
        stem_strides=(2, 1, 1),
        identity=False,
    ),
    neck=dict(
        type='mmvovnet.TransferConnectionNeck',
        in_channels=[512, 768, 1024],
    ),
    arm_head=dict(
        type='mmvovnet.ARMHead',
        in_channels=[512, 768, 1024, 512],
        anchor_generator=dict(
            type='AnchorGenerator',
            scales=[4],
            ratios=[1.0, 0.5, 2.0],
            strides=[8, 16, 32, 64],
            centers=[(4, 4), (8, 8), (16, 16), (32, 32)],
        ),
    ),
    bbox_head=dict(
        type='mmvovnet.ODMHead',
        num_classes=80,
        in_channels=[256, 256, 256, 256],
    ),
    train_cfg=dict(arm=matching, odm=matching),
    test_cfg=dict(
        score_thr=0.01,
        nms_pre=1000,
        nms=dict(type='nms', iou_threshold=0.45),
        max_per_img=500,
    ),
)
