# Does a gate of a few weights do as well? (arXiv 1910.03151)
# No weights fit: it starts from scratch.
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(init_cfg=None, gate='ECA'))
