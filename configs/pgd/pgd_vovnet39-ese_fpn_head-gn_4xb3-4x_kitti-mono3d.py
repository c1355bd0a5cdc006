# PGD of MMDetection3D on VoVNetV2-39, 48 epochs on KITTI.
_base_ = [
    'mmdet3d::pgd/pgd_r101-caffe_fpn_head-gn_4xb3-4x_kitti-mono3d.py',
    '../_base_/runtime.py',
]

model = dict(
    # MMDetection3D's, which the published V-99-eSE weights expect.
    data_preprocessor=dict(
        mean=[103.53, 116.28, 123.675],
        std=[57.375, 57.12, 58.395],
        bgr_to_rgb=False,
    ),
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        arch='V-39-eSE',
        frozen_stages=0,
        norm_eval=True,
    ),
    neck=dict(in_channels=[256, 512, 768, 1024]),
)

train_dataloader = _base_.repeatable

# 4 GPUs x 3 images
auto_scale_lr = dict(enable=False, base_batch_size=12)
