# Deformable convs in the last three stages (arXiv 1811.11168).
_base_ = '../fcos_vovnet39.py'

model = dict(backbone=dict(dcn=dict(type='DCNv2', deform_groups=1)))
