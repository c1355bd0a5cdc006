# Modulated deformable convs in stages 3 to 5: centermask-V-57-eSE-dcn-FPN-ms-3x.pth
# loads as it is.
_base_ = './centermask_vovnet57-ese_fpn_ms-3x_coco.py'

model = dict(backbone=dict(dcn=dict(type='DCNv2', deform_groups=1)))
