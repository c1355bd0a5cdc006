# The light Faster R-CNN on slim, depthwise VoVNetV2-19.
# No weights of this network can be had: it starts from scratch.
_base_ = './faster-rcnn_vovnet19-ese_fpnlite_ms-3x_coco.py'

model = dict(
    backbone=dict(arch='V-19-slim-dw-eSE', **_base_.no_weights),
    neck=dict(in_channels=[112, 256, 384, 512]),
)
