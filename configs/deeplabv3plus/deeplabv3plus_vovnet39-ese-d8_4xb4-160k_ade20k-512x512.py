# DeepLabV3+ of MMSegmentation on VoVNetV2-39, at stride 8, 160k iterations on ADE20K.
_base_ = [
    'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-160k_ade20k-512x512.py',
    '../_base_/runtime.py',
]

model = dict(
    data_preprocessor=_base_.vovnet39_ese.data_preprocessor,
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        **_base_.vovnet39_ese.backbone,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        norm_cfg=dict(type='SyncBN'),
    ),
    decode_head=dict(in_channels=1024),
    auxiliary_head=dict(in_channels=768),
)

train_dataloader = _base_.repeatable

# 4 GPUs x 4 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
