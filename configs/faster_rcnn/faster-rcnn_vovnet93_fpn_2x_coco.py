# Faster R-CNN on VoVNet-93, 2x on COCO.
_base_ = './faster-rcnn_vovnet39_fpn_2x_coco.py'

model = dict(backbone=dict(arch='V-93'))
