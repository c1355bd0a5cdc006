# CenterMask: masks for the boxes of FCOS, same backbone, data and schedule.
_base_ = './fcos_vovnet27-slim_digits.py'

train_pipeline = _base_.train_pipeline
train_pipeline[1].update(with_mask=True)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator

found = _base_.model.test_cfg
model = dict(
    type='mmvovnet.CenterMask',
    data_preprocessor=dict(pad_mask=True),
    roi_head=dict(
        type='mmvovnet.CenterMaskRoIHead',
        mask_roi_extractor=dict(
            type='mmvovnet.AdaptiveRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=64,
            featmap_strides=[8, 16, 32],
        ),
        mask_head=dict(
            type='mmvovnet.SpatialAttentionMaskHead',
            num_convs=2,
            in_channels=64,
            conv_out_channels=64,
            num_classes=10,
        ),
        mask_iou_head=dict(
            type='MaskIoUHead',
            num_convs=2,
            in_channels=64,
            conv_out_channels=64,
            fc_out_channels=256,
            num_classes=10,
        ),
    ),
    train_cfg=dict(
        proposal=found,
        roi_head=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=False,
            ),
            # 16 boxes of an image train its masks.
            sampler=dict(type='RandomSampler', num=64, pos_fraction=0.25),
            mask_size=28,
            mask_thr_binary=0,  # of logits
        ),
    ),
    test_cfg=dict(
        _delete_=True, bbox_head=found, roi_head=dict(mask_thr_binary=0.5)
    ),
)
