# The light Faster R-CNN on slim VoVNetV2-19.
_base_ = './faster-rcnn_vovnet19-ese_fpnlite_ms-3x_coco.py'

model = dict(
    data_preprocessor=_base_.vovnet19_slim_ese.data_preprocessor,
    backbone=dict(**_base_.vovnet19_slim_ese.backbone),
    neck=dict(in_channels=[128, 256, 384, 512]),
)
