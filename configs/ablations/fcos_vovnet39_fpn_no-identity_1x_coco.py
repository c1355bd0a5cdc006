# VoVNet-39 as the paper has it, without the identity add of later code.
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(identity=False))
