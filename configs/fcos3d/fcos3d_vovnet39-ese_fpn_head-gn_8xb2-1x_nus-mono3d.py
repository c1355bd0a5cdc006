# FCOS3D of MMDetection3D on VoVNetV2-39, 12 epochs on nuScenes.
_base_ = [
    'mmdet3d::fcos3d/fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py',
    '../_base_/runtime.py',
]

model = dict(
    data_preprocessor=_base_.vovnet39_ese.data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        **_base_.vovnet39_ese.backbone,
        out_indices=(1, 2, 3),
        frozen_stages=1,
        norm_eval=True,
    ),
    neck=dict(in_channels=[512, 768, 1024], start_level=0),
)

train_dataloader = _base_.repeatable

# 8 GPUs x 2 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
