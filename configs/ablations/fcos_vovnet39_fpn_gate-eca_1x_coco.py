# Does a gate of a few weights do as well? (arXiv 1910.03151)
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(gate='ECA'))
