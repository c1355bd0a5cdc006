# Faster R-CNN on VoVNetV2-19, 3x with multi-scale training.
_base_ = './faster-rcnn_vovnet39-ese_fpn_ms-3x_coco.py'

model = _base_.vovnet19_ese
