_base_ = './refinedet512_vovnet39_540k.py'

model = dict(backbone=dict(arch='V-57'))
