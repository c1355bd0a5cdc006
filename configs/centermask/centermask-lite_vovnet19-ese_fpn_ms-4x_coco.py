# centermask2-lite-V-19-eSE-FPN-ms-4x.pth loads as it is.
_base_ = './centermask-lite_vovnet39-ese_fpn_ms-4x_coco.py'

model = dict(
    data_preprocessor=_base_.vovnet19_ese.data_preprocessor,
    backbone=dict(**_base_.vovnet19_ese.backbone),
    neck=dict(in_channels=[512, 768, 1024]),
)
