# RetinaNet on VoVNet-39, 1x on COCO: start here.
_base_ = './retinanet/retinanet_vovnet39_fpn_1x_coco.py'
