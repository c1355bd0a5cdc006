# FCOS on VoVNet-93, 2x with multi-scale training.
_base_ = './fcos_vovnet57_ms-2x.py'

model = dict(backbone=dict(arch='V-93'))
