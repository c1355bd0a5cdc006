# PETR's image backbone was trained by FCOS3D so: 24 epochs, and 24 more of the
# fine-tuning config.
_base_ = './fcos3d_vovnet39-ese_fpn_head-gn_8xb2-1x_nus-mono3d.py'

model = _base_.vovnet99_ese_dd3d
train_cfg = dict(max_epochs=24)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1.0 / 3,
        by_epoch=False,
        begin=0,
        end=500,
    ),
    dict(type='MultiStepLR', end=24, milestones=[16, 22], gamma=0.1),
]
