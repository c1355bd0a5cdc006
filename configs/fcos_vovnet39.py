# FCOS on VoVNet-39, 1x on COCO: start here.
_base_ = './fcos/fcos_vovnet39_fpn_1x_coco.py'
