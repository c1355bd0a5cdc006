_base_ = './refinedet320_vovnet39_400k_coco.py'

model = dict(
    **_base_.vovnet27_slim_toolbox,
    neck=dict(in_channels=[256, 384, 512]),
    arm_head=dict(in_channels=[256, 384, 512, 512]),
)
