# RetinaNet on VoVNetV2-39, 1x on COCO. Its pixels are those of
# vovnet39-ese_in1k.py and timm's weights, not of detectron2's.
_base_ = './retinanet_vovnet39.py'

model = dict(backbone=dict(arch='V-39-eSE'))
