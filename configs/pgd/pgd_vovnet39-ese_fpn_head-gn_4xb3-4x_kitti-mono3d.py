# PGD of MMDetection3D on VoVNetV2-39, 48 epochs on KITTI.
_base_ = [
    'mmdet3d::pgd/pgd_r101-caffe_fpn_head-gn_4xb3-4x_kitti-mono3d.py',
    '../_base_/runtime.py',
]

model = dict(
    data_preprocessor=_base_.vovnet39_ese.data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        **_base_.vovnet39_ese.backbone,
        frozen_stages=0,
        norm_eval=True,
    ),
    neck=dict(in_channels=[256, 512, 768, 1024]),
)

train_dataloader = _base_.repeatable

# 4 GPUs x 3 images
auto_scale_lr = dict(enable=False, base_batch_size=12)
