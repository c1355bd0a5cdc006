# Stem and max pools of the paper's own network (arXiv 1904.09730, Table 1).
# No weights fit: it starts from scratch.
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(init_cfg=None, stem_strides=(2, 1, 1)))
