# VoVNet-27-slim classifies handwritten digits, read from scikit-learn.
_base_ = [
    'mmpretrain::_base_/default_runtime.py',
    '../_base_/runtime.py',
]

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        num_classes=10,
        mean=[78.1],  # of the training images
        std=[96.0],
    ),
    backbone=dict(
        type='mmvovnet.VoVNet',
        arch='V-27-slim',
        in_channels=1,
        out_indices=(3,),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss'),
        topk=(1,),
    ),
)

train_pipeline = [
    dict(type='Resize', scale=(32, 32), interpolation='bicubic'),
    # No flip: a mirrored 2 is not a 2.
    dict(type='Rotate', angle=15.0, prob=0.5, pad_val=0),
    dict(type='RandomCrop', crop_size=32, padding=3),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='Resize', scale=(32, 32), interpolation='bicubic'),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmvovnet.DigitsClassification',
        split='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=120,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmvovnet.DigitsClassification',
        split='val',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator

train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=2)
val_cfg = dict()
test_cfg = dict()

optim_wrapper = dict(optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=50),
    dict(type='CosineAnnealingLR', eta_min=2e-5, convert_to_iter_based=True),
]
default_hooks = dict(
    logger=dict(interval=5),
    checkpoint=dict(max_keep_ckpts=2),
)
randomness = dict(seed=0)

# 1 process x 32 images
auto_scale_lr = dict(enable=False, base_batch_size=32)
