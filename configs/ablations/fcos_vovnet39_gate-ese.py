# What does the channel gate of VoVNetV2 add? (arXiv 1911.06667, Table 4)
_base_ = '../fcos_vovnet39.py'

model = dict(backbone=dict(gate='eSE'))
