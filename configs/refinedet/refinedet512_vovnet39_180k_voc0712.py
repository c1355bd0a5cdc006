# Pascal VOC at 512 pixels, with the Caffe scripts' schedule for 20 images a batch.
_base_ = './refinedet320_vovnet39_120k_voc0712.py'

scale = (512, 512)
train_pipeline = _base_.train_pipeline
train_pipeline[5].update(scale=scale)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=scale)
train_dataloader = dict(
    batch_size=5,
    dataset=dict(
        datasets=[
            {**voc, 'pipeline': train_pipeline}
            for voc in _base_.train_dataloader.dataset.datasets
        ]
    ),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type='Resize', scale=(size, size), keep_ratio=False)
    for size in (320, 512, 704, 896)
]

train_cfg = dict(max_iters=180000)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(milestones=[130000, 160000], end=180000)

# 4 GPUs x 5 images
auto_scale_lr = dict(base_batch_size=20)
