# A 1x1 conv in front of every 3x3 conv (arXiv 1904.09730, Table 3).
_base_ = './dsod300_vovnet27-slim_100k_voc0712.py'

model = dict(backbone=dict(bottleneck=True))
