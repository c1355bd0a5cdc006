# RefineDet320 on the paper's own VoVNet-39 (arXiv 1904.09730, Table 6).
_base_ = ['../_base_/refinedet320.py', '../_base_/refinedet.py']

# The paper's stem has the strides 2, 1, 1. Of the public weights vision-toolbox's
# fit it; they bring padded pools and identity connections.
model = _base_.vovnet39_toolbox
