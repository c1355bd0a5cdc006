# VoVNetV2-57 on ImageNet by today's recipe.
_base_ = './vovnet39-ese_8xb256-300e_in1k.py'

model = dict(backbone=dict(arch='V-57-eSE'))
