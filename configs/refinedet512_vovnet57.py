_base_ = './refinedet512_vovnet39.py'

model = dict(backbone=dict(arch='V-57'))
