# VoVNet-39 as the paper has it, without the identity add of later code.
# No weights fit: it starts from scratch.
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(init_cfg=None, identity=False))
