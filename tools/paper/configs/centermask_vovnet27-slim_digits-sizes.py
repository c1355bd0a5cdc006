# The demo's CenterMask on digits of all sizes, up to most of the image: eight
# epochs, evaluated once.
_base_ = '../../../configs/demo/centermask_vovnet27-slim_digits.py'

data_root = 'data/digits-sizes/'
data = dict(data_root=data_root, sides=(16, 112))
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=8, val_interval=8)
