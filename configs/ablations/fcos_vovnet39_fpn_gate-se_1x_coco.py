# The gate that eSE replaces. (arXiv 1911.06667, Table 4)
# No weights fit: it starts from scratch.
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(init_cfg=None, gate='SE'))
