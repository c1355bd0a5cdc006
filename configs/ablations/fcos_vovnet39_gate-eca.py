# Does a gate of a few weights do as well? (arXiv 1910.03151)
_base_ = '../fcos_vovnet39.py'

model = dict(backbone=dict(gate='ECA'))
