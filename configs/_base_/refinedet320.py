# Images as SSD sees them (320x320 pixels) and COCO, for RefineDet.
_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/default_runtime.py',
    './runtime.py',
]

augment = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PhotoMetricDistortion',
        brightness_delta=32,
        contrast_range=(0.5, 1.5),
        saturation_range=(0.5, 1.5),
        hue_delta=18,
    ),
    dict(
        type='Expand',
        mean=[123.675, 116.28, 103.53],
        to_rgb=True,
        ratio_range=(1, 4),
    ),
    dict(
        type='MinIoURandomCrop',
        min_ious=(0.1, 0.3, 0.5, 0.7, 0.9),
        min_crop_size=0.3,
    ),
]
# One of five interpolations, as in Caffe.
interpolations = ('bilinear', 'area', 'nearest', 'bicubic', 'lanczos')
resize = dict(type='Resize', scale=(320, 320), keep_ratio=False)
random_resize = dict(
    type='RandomChoice',
    transforms=[
        [dict(**resize, interpolation=name)] for name in interpolations
    ],
)
flip_and_pack = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_pipeline = [*augment, random_resize, *flip_and_pack]
test_load = dict(type='LoadImageFromFile')
test_pack = [
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
        ),
    ),
]
test_pipeline = [test_load, resize, *test_pack]

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    **_base_.repeatable,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    batch_sampler=None,
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# mim test mmdet CONFIG --checkpoint FILE --tta: several sizes, both ways round
tta_model = dict(
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.45), max_per_img=500),
)
tta_views = [
    [
        dict(type='RandomFlip', prob=0.0),
        dict(type='RandomFlip', prob=1.0),
    ],
    [dict(type='LoadAnnotations', with_bbox=True)],
    [
        dict(
            type='PackDetInputs',
            meta_keys=(
                'img_id',
                'img_path',
                'ori_shape',
                'img_shape',
                'scale_factor',
                'flip',
                'flip_direction',
            ),
        )
    ],
]
tta_sizes = [
    dict(type='Resize', scale=(size, size), keep_ratio=False)
    for size in (192, 320, 448, 576)
]
tta_pipeline = [
    test_load,
    dict(type='TestTimeAug', transforms=[tta_sizes, *tta_views]),
]

# The paper's schedule (arXiv 1904.09730, section 4.3).
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=400000, val_interval=20000
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4),
    # As Caffe does with the biases of convs.
    paramwise_cfg=dict(bias_lr_mult=2, bias_decay_mult=0),
)
param_scheduler = [
    dict(
        type='MultiStepLR',
        milestones=[280000, 360000],
        end=400000,
        by_epoch=False,
    )
]
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=10000, max_keep_ckpts=3)
)
log_processor = dict(by_epoch=False)

# 4 GPUs x 8 images
auto_scale_lr = dict(enable=False, base_batch_size=32)
