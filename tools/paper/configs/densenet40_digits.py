_base_ = ['_base_/densenet40.py', '_base_/digits.py']

model = dict(backbone=dict(in_channels=1))
