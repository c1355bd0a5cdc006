# The gate that eSE replaces. (arXiv 1911.06667, Table 4)
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(gate='SE'))
