# VoVNet-27-slim on CIFAR-10, whose images it reads at 64x64 pixels: the last
# stage has a stride of 32.
_base_ = [
    'mmpretrain::resnet/resnet18_8xb16_cifar10.py',
    '../_base_/runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        arch='V-27-slim',
        out_indices=(3,),
    ),
)

resize = dict(type='Resize', scale=64)
test_pipeline = [resize, dict(type='PackInputs')]
train_pipeline = [*_base_.train_pipeline[:-1], *test_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# 8 GPUs x 16 images
auto_scale_lr = dict(enable=False, base_batch_size=128)
