# VoVNetV2-39 on ImageNet by today's recipe: A2 of "ResNet strikes back"
# (arXiv 2110.00476), which is 300 epochs of LAMB, 2048 images a batch, with
# mixup, cutmix and RandAugment, and a moving average of the weights.
_base_ = [
    'mmpretrain::resnet/resnet50_8xb256-rsb-a2-300e_in1k.py',
    '../_base_/runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        arch='V-39-eSE',
        out_indices=(3,),
        drop_path_rate=0.05,
    ),
    head=dict(in_channels=1024),
)

custom_hooks = [
    dict(type='EMAHook', momentum=1e-4, update_buffers=True, priority=49)
]

# 8 GPUs x 256 images
auto_scale_lr = dict(enable=False, base_batch_size=2048)
