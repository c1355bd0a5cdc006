# Mask R-CNN on VoVNet-57, 2x on COCO.
_base_ = './mask-rcnn_vovnet39_fpn_2x_coco.py'

model = _base_.vovnet57
