# centermask-lite-V-19-eSE-slim-dw-FPN-ms-4x.pth loads as it is.
# No weights of this network can be had: it starts from scratch.
_base_ = './centermask-lite_vovnet39-ese_fpn_ms-4x_coco.py'

model = dict(
    backbone=dict(arch='V-19-slim-dw-eSE', **_base_.no_weights),
    neck=dict(in_channels=[256, 384, 512]),
)
