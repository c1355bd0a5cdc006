_base_ = './densenet40_digits.py'

model = dict(
    backbone=dict(block='osa', num_layers=5, width=43),
    head=dict(in_channels=661),
)
