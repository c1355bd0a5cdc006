# Group norm, which two images per GPU do not disturb (arXiv 1803.08494).
# No weights fit: it starts from scratch.
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(
    backbone=dict(init_cfg=None, norm_cfg=dict(type='GN', num_groups=32))
)
