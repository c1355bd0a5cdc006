# FCOS on VoVNet-93, 2x with multi-scale training.
# No weights of this network can be had: it starts from scratch.
_base_ = './fcos_vovnet57_fpn_ms-2x_coco.py'

model = dict(backbone=dict(arch='V-93', **_base_.no_weights))
