# VoVNet-39 on ImageNet by its authors' recipe: 90 epochs, 256 images a batch,
# learning rate 0.1 divided by 10 every 30 epochs.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
    '../_base_/runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmvovnet.VoVNet', arch='V-39', out_indices=(3,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=1024,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, 5),
    ),
)

train_cfg = dict(max_epochs=90)
param_scheduler = dict(milestones=[30, 60])

# 8 GPUs x 32 images
auto_scale_lr = dict(enable=False, base_batch_size=256)
