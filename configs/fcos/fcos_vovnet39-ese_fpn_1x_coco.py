# FCOS of AdelaiDet, whose checkpoints load as they are, such as
# fcos_V_39_eSE_FPN_ms_3x.pth: see faster-rcnn_vovnet39-ese_fpn_1x_coco.py.
# AdelaiDet ranks a level's candidates by class score times centerness before
# it keeps 1000 of them, mmdet by class score; and AdelaiDet reports the square
# root of that product.
_base_ = [
    'mmdet::fcos/'
    'fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco.py',
    '../_base_/runtime.py',
]

model = dict(
    data_preprocessor=_base_.vovnet39_ese.data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        **_base_.vovnet39_ese.backbone,
        out_indices=(1, 2, 3),
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
    ),
    neck=dict(in_channels=[512, 768, 1024], start_level=0),
)

train_dataloader = _base_.repeatable
