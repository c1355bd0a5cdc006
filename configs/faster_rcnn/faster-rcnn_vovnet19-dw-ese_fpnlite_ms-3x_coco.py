# The light Faster R-CNN on depthwise VoVNetV2-19.
_base_ = './faster-rcnn_vovnet19-ese_fpnlite_ms-3x_coco.py'

model = _base_.vovnet19_dw_ese
