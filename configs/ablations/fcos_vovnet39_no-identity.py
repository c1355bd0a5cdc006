# VoVNet-39 as the paper has it, without the identity add of later code.
_base_ = '../fcos_vovnet39.py'

model = dict(backbone=dict(identity=False))
