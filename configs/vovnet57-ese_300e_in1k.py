# VoVNetV2-57 on ImageNet by today's recipe.
_base_ = './vovnet39-ese_300e_in1k.py'

model = dict(backbone=dict(arch='V-57-eSE'))
