# centermask-lite-V-19-eSE-slim-FPN-ms-4x.pth loads as it is.
_base_ = './centermask-lite_vovnet39-ese_fpn_ms-4x_coco.py'

model = dict(
    data_preprocessor=_base_.vovnet19_slim_ese.data_preprocessor,
    backbone=dict(**_base_.vovnet19_slim_ese.backbone),
    neck=dict(in_channels=[256, 384, 512]),
)
