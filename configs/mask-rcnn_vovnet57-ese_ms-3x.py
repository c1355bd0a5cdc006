# Mask R-CNN on VoVNetV2-57, 3x with multi-scale training.
_base_ = './mask-rcnn_vovnet39-ese_ms-3x.py'

model = dict(backbone=dict(arch='V-57-eSE'))
