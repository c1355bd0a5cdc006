# CenterMask2-Lite on VoVNetV2-39, trained as it was: 128 channels, two convs in
# each head, 4x, the shorter side 580 or 600 and the longer at most 1000.
# centermask2-lite-V-39-eSE-FPN-ms-4x.pth loads as it is.
_base_ = './centermask_vovnet39-ese_fpn_ms-3x_coco.py'

narrow = dict(in_channels=128, conv_out_channels=128, num_convs=2)
model = dict(
    neck=dict(out_channels=128),
    bbox_head=dict(in_channels=128, feat_channels=128, stacked_convs=2),
    roi_head=dict(
        mask_roi_extractor=dict(out_channels=128),
        mask_head=narrow,
        mask_iou_head=narrow,
    ),
)

train_pipeline = _base_.ms_mask_pipeline
train_pipeline[2].update(scales=[(1000, 580), (1000, 600)])
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(1000, 600))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=48)
steps = _base_.steps_3x
steps.update(end=48, milestones=[40, 45])
param_scheduler = [_base_.warmup, steps]
