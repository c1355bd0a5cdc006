# Images as SSD sees them (512x512 pixels) and COCO, for RefineDet.
_base_ = './refinedet320.py'

resize = dict(type='Resize', scale=(512, 512), keep_ratio=False)
random_resize = dict(
    type='RandomChoice',
    transforms=[
        [dict(**resize, interpolation=name)] for name in _base_.interpolations
    ],
)
train_pipeline = [*_base_.augment, random_resize, *_base_.flip_and_pack]
test_pipeline = [_base_.test_load, resize, *_base_.test_pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

tta_sizes = [
    dict(type='Resize', scale=(size, size), keep_ratio=False)
    for size in (320, 512, 704, 896)
]
tta_pipeline = [
    _base_.test_load,
    dict(type='TestTimeAug', transforms=[tta_sizes, *_base_.tta_views]),
]
