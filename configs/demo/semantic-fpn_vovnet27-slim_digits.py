# Semantic FPN learns which pixels are which digit, from scratch.
_base_ = ['mmseg::_base_/default_runtime.py', '../_base_/runtime.py']

data_root = 'data/digits/'

model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[65.1, 62.9, 56.9],  # of the training images, RGB
        std=[55.8, 48.6, 50.9],
        bgr_to_rgb=True,
        size=(128, 128),
        seg_pad_val=255,
    ),
    backbone=dict(type='mmvovnet.VoVNet', arch='V-27-slim'),
    neck=dict(
        type='FPN',
        in_channels=[128, 256, 384, 512],
        out_channels=64,
        num_outs=4,
        norm_cfg=dict(type='BN'),
    ),
    decode_head=dict(
        type='FPNHead',
        in_channels=[64, 64, 64, 64],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=64,
        dropout_ratio=0,
        num_classes=11,  # the photograph and the digits
        norm_cfg=dict(type='BN'),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
    test_cfg=dict(mode='whole'),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmvovnet.DigitsSegmentation',
        data_root=data_root,
        data_prefix=dict(img_path='train', seg_map_path='labels/train'),
        pipeline=pipeline,  # no flip: a mirrored 2 is not a 2
    ),
)
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmvovnet.DigitsSegmentation',
        data_root=data_root,
        data_prefix=dict(img_path='val', seg_map_path='labels/val'),
        pipeline=pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=6, val_interval=1)
val_cfg = dict()
test_cfg = dict()

optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=50),
    dict(type='CosineAnnealingLR', eta_min=2e-5, convert_to_iter_based=True),
]
log_processor = dict(by_epoch=True)
randomness = dict(seed=0)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=5),
    checkpoint=dict(type='CheckpointHook', max_keep_ckpts=2),
)

# 1 process x 4 images
auto_scale_lr = dict(enable=False, base_batch_size=4)
