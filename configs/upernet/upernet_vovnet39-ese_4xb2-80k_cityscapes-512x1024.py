# UPerNet of MMSegmentation on VoVNetV2-39, 80k iterations on Cityscapes.
_base_ = [
    'mmseg::upernet/upernet_r50_4xb2-80k_cityscapes-512x1024.py',
    '../_base_/runtime.py',
]

model = dict(
    data_preprocessor=_base_.vovnet39_ese.data_preprocessor,
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        **_base_.vovnet39_ese.backbone,
        norm_cfg=dict(type='SyncBN'),
    ),
    decode_head=dict(in_channels=[256, 512, 768, 1024]),
    auxiliary_head=dict(in_channels=768),
)

train_dataloader = _base_.repeatable

# 4 GPUs x 2 images
auto_scale_lr = dict(enable=False, base_batch_size=8)
