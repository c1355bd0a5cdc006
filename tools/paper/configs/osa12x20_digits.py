_base_ = './densenet40_digits.py'

model = dict(backbone=dict(block='osa', width=20), head=dict(in_channels=736))
