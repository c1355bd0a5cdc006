# RetinaNet on VoVNet-57, 1x on COCO.
_base_ = './retinanet_vovnet39_fpn_1x_coco.py'

model = _base_.vovnet57
