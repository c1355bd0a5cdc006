_base_ = './densenet40_cifar10.py'

model = dict(
    backbone=dict(block='osa', num_layers=5, width=43),
    head=dict(in_channels=661),
)
