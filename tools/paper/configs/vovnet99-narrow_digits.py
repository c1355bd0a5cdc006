# VoVNet-99, an eighth as wide, on digits of 32x32 pixels.
_base_ = ['_base_/densenet40.py', '_base_/digits.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        arch=dict(
            stem_channels=(8, 8, 16),
            conv_channels=(16, 20, 24, 28),
            out_channels=(32, 64, 96, 128),
            num_modules=(1, 3, 9, 3),
            num_layers=5,
        ),
        in_channels=1,
        out_indices=(3,),
    ),
    head=dict(in_channels=128),
)

resize = dict(type='Resize', scale=(32, 32), interpolation='bicubic')
pack = dict(type='PackInputs')
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            resize,
            dict(type='RandomCrop', crop_size=32, padding=4),
            pack,
        ]
    )
)
val_dataloader = dict(dataset=dict(pipeline=[resize, pack]))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=24)
param_scheduler = dict(milestones=[12, 18])
