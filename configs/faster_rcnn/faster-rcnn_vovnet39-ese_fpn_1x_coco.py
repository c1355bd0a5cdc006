# Faster R-CNN of vovnet-detectron2. Its checkpoints load as they are:
#   python tools/test.py configs/faster_rcnn/faster-rcnn_vovnet39-ese_fpn_1x_coco.py \
#       faster_V_39_eSE_ms_3x.pth
# tools/test.py gives such a file its own stem, pools, gates and pixels. mmdet's
# anchors, box coding, RoIAlign, order of classes and background column are
# detectron2's.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/runtime.py',
]

model = dict(
    data_preprocessor=_base_.vovnet39_ese.data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        **_base_.vovnet39_ese.backbone,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
    ),
    neck=dict(in_channels=[256, 512, 768, 1024]),
)

train_dataloader = _base_.repeatable
