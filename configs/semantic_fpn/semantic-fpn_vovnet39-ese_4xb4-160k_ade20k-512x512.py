# Semantic FPN of MMSegmentation on VoVNetV2-39, 160k iterations on ADE20K.
_base_ = [
    'mmseg::sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py',
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
    neck=dict(in_channels=[256, 512, 768, 1024]),
)

train_dataloader = _base_.repeatable

# 4 GPUs x 4 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
