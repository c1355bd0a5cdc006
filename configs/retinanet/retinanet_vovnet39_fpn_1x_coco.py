# RetinaNet on VoVNet-39 and FPN, 1x on COCO.
_base_ = [
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    '../_base_/runtime.py',
]

model = dict(
    data_preprocessor=_base_.vovnet39.data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        **_base_.vovnet39.backbone,
        out_indices=(1, 2, 3),
    ),
    neck=dict(in_channels=[512, 768, 1024], start_level=0),
)

train_dataloader = _base_.repeatable

# 8 GPUs x 2 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
