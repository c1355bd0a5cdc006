# 3x on COCO with multi-scale training, as detectron2 does it: the shorter side
# is one of six from 640 to 800. A config inherits its 1x form and this file.
multi_scale = dict(
    type='RandomChoiceResize',
    scales=[(1333, side) for side in range(640, 801, 32)],
    keep_ratio=True,
)
ms_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True),
    multi_scale,
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
ms_mask_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    multi_scale,
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
epochs_3x = 36
steps_3x = dict(
    type='MultiStepLR',
    begin=0,
    end=36,
    by_epoch=True,
    milestones=[27, 33],
    gamma=0.1,
)
