# Panoptic-CenterMask on VoVNetV2-39, trained as it was, on COCO panoptic.
# panoptic_centermask_V_39_eSE_ms_3x.pth loads as it is. PQ needs
# `pip install git+https://github.com/cocodataset/panopticapi.git`.
_base_ = [
    '../_base_/centermask.py',
    'mmdet::_base_/datasets/coco_panoptic.py',
    '../_base_/schedules/ms-3x.py',
]

classes = dict(num_things_classes=80, num_stuff_classes=53)
model = dict(
    type='mmvovnet.PanopticCenterMask',
    data_preprocessor=dict(pad_seg=True, seg_pad_value=255),
    backbone=dict(out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[256, 512, 768, 1024], num_outs=6),
    semantic_head=dict(
        type='PanopticFPNHead',
        in_channels=256,
        inner_channels=128,
        loss_seg=dict(
            type='CrossEntropyLoss', ignore_index=255, loss_weight=0.5
        ),
        **classes,
    ),
    panoptic_fusion_head=dict(type='HeuristicFusionHead', **classes),
    test_cfg=dict(
        panoptic=dict(score_thr=0.5, mask_overlap=0.5, stuff_area_limit=4096)
    ),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2] = _base_.multi_scale
train_dataloader = dict(
    dataset=dict(pipeline=train_pipeline), **_base_.repeatable
)
val_evaluator = [
    _base_.val_evaluator,
    dict(
        type='CocoMetric',
        ann_file='data/coco/annotations/instances_val2017.json',
        metric=['bbox', 'segm'],
    ),
]
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=_base_.epochs_3x)
param_scheduler = [_base_.warmup, _base_.steps_3x]
custom_hooks = []  # mmdet's check of the number of classes knows no stuff
