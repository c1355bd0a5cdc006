# The gate that eSE replaces. (arXiv 1911.06667, Table 4)
_base_ = '../fcos_vovnet39.py'

model = dict(backbone=dict(gate='SE'))
