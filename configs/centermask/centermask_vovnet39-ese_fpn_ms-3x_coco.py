# CenterMask2 on VoVNetV2-39, trained as it was: 3x, the shorter side one of six
# from 640 to 800. centermask2-V-39-eSE-FPN-ms-3x.pth loads as it is.
_base_ = [
    '../_base_/centermask.py',
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/schedules/ms-3x.py',
]

train_dataloader = dict(
    dataset=dict(pipeline=_base_.ms_mask_pipeline), **_base_.repeatable
)

train_cfg = dict(max_epochs=_base_.epochs_3x)
param_scheduler = [_base_.warmup, _base_.steps_3x]
