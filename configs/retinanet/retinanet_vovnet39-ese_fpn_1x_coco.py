# RetinaNet on VoVNetV2-39, 1x on COCO. Its pixels are those of
# vovnet39-ese_8xb32_in1k.py and timm's weights, not of detectron2's.
_base_ = './retinanet_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(arch='V-39-eSE'))
