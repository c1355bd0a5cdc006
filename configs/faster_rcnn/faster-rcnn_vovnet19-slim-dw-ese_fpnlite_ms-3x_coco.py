# The light Faster R-CNN on slim, depthwise VoVNetV2-19.
_base_ = './faster-rcnn_vovnet19-ese_fpnlite_ms-3x_coco.py'

model = dict(
    backbone=dict(arch='V-19-slim-dw-eSE'),
    neck=dict(in_channels=[112, 256, 384, 512]),
)
