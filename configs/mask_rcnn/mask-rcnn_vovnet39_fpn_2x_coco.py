# Mask R-CNN on VoVNet-39 and FPN, 2x on COCO. Its norms keep the statistics of
# the weights: two images per GPU say little about a batch.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/schedules/schedule_2x.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/runtime.py',
]

model = dict(
    data_preprocessor=_base_.vovnet39.data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        **_base_.vovnet39.backbone,
        norm_eval=True,
    ),
    neck=dict(in_channels=[256, 512, 768, 1024]),
)

train_dataloader = _base_.repeatable

# 8 GPUs x 2 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
