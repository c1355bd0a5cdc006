# Batch norm over the images of all GPUs.
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(norm_cfg=dict(type='SyncBN')))
