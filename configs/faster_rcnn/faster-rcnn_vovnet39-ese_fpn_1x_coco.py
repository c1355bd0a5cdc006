# Faster R-CNN of vovnet-detectron2. Its checkpoints load as they are:
#   python tools/test.py configs/faster_rcnn/faster-rcnn_vovnet39-ese_fpn_1x_coco.py \
#       faster_V_39_eSE_ms_3x.pth
# mmdet's anchors, box coding, RoIAlign, order of classes and background column
# are detectron2's. Its images are BGR and only have their mean subtracted.
# The other backbones differ in `arch` alone.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/runtime.py',
]

model = dict(
    data_preprocessor=dict(
        mean=[103.53, 116.28, 123.675],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False,
    ),
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        arch='V-39-eSE',
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
    ),
    neck=dict(in_channels=[256, 512, 768, 1024]),
)

train_dataloader = _base_.repeatable
