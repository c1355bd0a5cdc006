_base_ = './refinedet512_vovnet39_400k_coco.py'

model = dict(backbone=dict(arch='V-57'))
