_base_ = './refinedet512_vovnet39_540k_coco.py'

model = dict(backbone=dict(arch='V-57'))
