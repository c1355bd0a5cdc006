# Images as SSD sees them (512x512 pixels) and COCO, for RefineDet.
_base_ = './refinedet320.py'

scale = (512, 512)
train_pipeline = _base_.train_pipeline
train_pipeline[5].update(scale=scale)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=scale)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type='Resize', scale=(size, size), keep_ratio=False)
    for size in (320, 512, 704, 896)
]
