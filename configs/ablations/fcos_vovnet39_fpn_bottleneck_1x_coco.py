# Do 1x1 convs in front of the 3x3 convs pay? (arXiv 1904.09730, Table 3)
# No weights fit: it starts from scratch.
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(init_cfg=None, bottleneck=True))
