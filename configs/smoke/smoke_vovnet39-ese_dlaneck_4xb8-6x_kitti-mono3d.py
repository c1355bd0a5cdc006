# SMOKE of MMDetection3D on VoVNetV2-39, 72 epochs on KITTI.
_base_ = [
    'mmdet3d::smoke/smoke_dla34_dlaneck_gn-all_4xb8-6x_kitti-mono3d.py',
    '../_base_/runtime.py',
]

model = dict(
    data_preprocessor=_base_.vovnet39_ese.data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        **_base_.vovnet39_ese.backbone,
    ),
    neck=dict(in_channels=[256, 512, 768, 1024], start_level=0, end_level=3),
    bbox_head=dict(in_channels=256, feat_channels=256),
)

train_dataloader = _base_.repeatable

# 4 GPUs x 8 images
auto_scale_lr = dict(enable=False, base_batch_size=32)
