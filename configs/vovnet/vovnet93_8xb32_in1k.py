# VoVNet-93 on ImageNet by its authors' recipe.
_base_ = './vovnet39_8xb32_in1k.py'

model = dict(backbone=dict(arch='V-93'))
