# Deformable convs in the last three stages (arXiv 1811.11168).
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(dcn=dict(type='DCNv2', deform_groups=1)))
