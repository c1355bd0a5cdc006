# What does the channel gate of VoVNetV2 add? (arXiv 1911.06667, Table 4)
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(gate='eSE'))
