# FCOS on VoVNet-57, 2x on COCO with the shorter side drawn from 640 to 800.
# Two images per GPU say little about a batch: norms keep ImageNet's statistics.
_base_ = './fcos_vovnet39_fpn_1x_coco.py'

model = dict(
    data_preprocessor=_base_.vovnet57.data_preprocessor,
    backbone=dict(**_base_.vovnet57.backbone, norm_eval=True),
)

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomResize', scale=[(1333, 640), (1333, 800)], keep_ratio=True
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_epochs=24)
warmup, steps = _base_.param_scheduler
param_scheduler = [warmup, {**steps, 'end': 24, 'milestones': [16, 22]}]
