# Mask R-CNN of vovnet-detectron2, whose checkpoints load as they are, such as
# mask_V_39_eSE_ms_3x.pth: see faster-rcnn_vovnet39-ese_fpn_1x_coco.py.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/runtime.py',
]

model = dict(
    data_preprocessor=_base_.vovnet39_ese.data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        **_base_.vovnet39_ese.backbone,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
    ),
    neck=dict(in_channels=[256, 512, 768, 1024]),
)

train_dataloader = _base_.repeatable
