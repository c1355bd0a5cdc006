_base_ = './upernet_vovnet39-ese_4xb4-160k_ade20k-512x512.py'

model = dict(backbone=dict(arch='V-57-eSE'))
