# Group norm, which two images per GPU do not disturb (arXiv 1803.08494).
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(norm_cfg=dict(type='GN', num_groups=32)))
