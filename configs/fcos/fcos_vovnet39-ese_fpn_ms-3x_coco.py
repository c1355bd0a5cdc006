# FCOS of AdelaiDet on VoVNetV2-39, trained as it was: 3x, the shorter side one
# of six from 640 to 800. Its pixels are those of vovnet39_ese_detectron2.pth,
# the authors' ImageNet weights.
_base_ = './fcos_vovnet39-ese_fpn_1x_coco.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(
    type='RandomChoiceResize',
    scales=[(1333, side) for side in range(640, 801, 32)],
    keep_ratio=True,
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_epochs=36)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=36, milestones=[27, 33])
auto_scale_lr = dict(enable=False, base_batch_size=16)
