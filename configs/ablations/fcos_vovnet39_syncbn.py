# Batch norm over the images of all GPUs.
_base_ = '../fcos_vovnet39.py'

model = dict(backbone=dict(norm_cfg=dict(type='SyncBN')))
