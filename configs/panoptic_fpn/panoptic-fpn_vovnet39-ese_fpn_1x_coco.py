# Panoptic FPN on VoVNetV2-39, 1x on COCO panoptic; its evaluation needs `pip
# install git+https://github.com/cocodataset/panopticapi.git`.
_base_ = [
    'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
    '../_base_/runtime.py',
]

model = dict(
    data_preprocessor=_base_.vovnet39_ese.data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        **_base_.vovnet39_ese.backbone,
        norm_eval=True,
    ),
    neck=dict(in_channels=[256, 512, 768, 1024]),
)

train_dataloader = _base_.repeatable

# 8 GPUs x 2 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
