# FCOS3D of MMDetection3D on VoVNetV2-39, 12 epochs on nuScenes.
_base_ = [
    'mmdet3d::fcos3d/fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py',
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
        out_indices=(1, 2, 3),
        frozen_stages=1,
        norm_eval=True,
    ),
    neck=dict(in_channels=[512, 768, 1024], start_level=0),
)

train_dataloader = _base_.repeatable

# 8 GPUs x 2 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
