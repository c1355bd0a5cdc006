# FCOS on VoVNetV2-99, 3x with multi-scale training.
_base_ = './fcos_vovnet39-ese_ms-3x.py'

model = dict(backbone=dict(arch='V-99-eSE'))
