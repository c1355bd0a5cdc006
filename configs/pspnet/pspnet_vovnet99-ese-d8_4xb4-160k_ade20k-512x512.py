_base_ = './pspnet_vovnet39-ese-d8_4xb4-160k_ade20k-512x512.py'

model = dict(backbone=dict(arch='V-99-eSE'))
