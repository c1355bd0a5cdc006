# Mask R-CNN with group norm on VoVNet-57, from scratch, 3x on COCO.
_base_ = './mask-rcnn_vovnet39-scratch_fpn_gn-all_3x_coco.py'

model = dict(backbone=dict(arch='V-57'))
