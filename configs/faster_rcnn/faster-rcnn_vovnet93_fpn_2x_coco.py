# Faster R-CNN on VoVNet-93, 2x on COCO.
# No weights of this network can be had: it starts from scratch.
_base_ = './faster-rcnn_vovnet39_fpn_2x_coco.py'

model = dict(backbone=dict(arch='V-93', **_base_.no_weights))
