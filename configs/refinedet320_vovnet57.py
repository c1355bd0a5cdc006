_base_ = './refinedet320_vovnet39.py'

model = dict(backbone=dict(arch='V-57'))
