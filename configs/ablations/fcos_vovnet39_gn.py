# Group norm, which two images per GPU do not disturb (arXiv 1803.08494).
_base_ = '../fcos_vovnet39.py'

model = dict(backbone=dict(norm_cfg=dict(type='GN', num_groups=32)))
