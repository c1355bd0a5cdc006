# Faster R-CNN on VoVNet-93, 2x on COCO.
_base_ = './faster-rcnn_vovnet39_2x.py'

model = dict(backbone=dict(arch='V-93'))
