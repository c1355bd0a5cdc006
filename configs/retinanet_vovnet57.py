# RetinaNet on VoVNet-57, 1x on COCO.
_base_ = './retinanet_vovnet39.py'

model = dict(backbone=dict(arch='V-57'))
