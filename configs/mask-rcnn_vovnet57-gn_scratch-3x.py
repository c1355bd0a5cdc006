# Mask R-CNN with group norm on VoVNet-57, from scratch, 3x on COCO.
_base_ = './mask-rcnn_vovnet39-gn_scratch-3x.py'

model = dict(backbone=dict(arch='V-57'))
