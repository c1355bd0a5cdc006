# Mask R-CNN from scratch with group norm in backbone, FPN and heads, nothing
# frozen, 3x on COCO: arXiv 1904.09730, Table 5, by Detectron's schedule of
# 270k iterations, which lowers the learning rate at 210k and 250k.
_base_ = './mask-rcnn_vovnet39_fpn_2x_coco.py'

norm_cfg = dict(type='GN', num_groups=32)
model = dict(
    backbone=dict(init_cfg=None, norm_cfg=norm_cfg, norm_eval=False),
    neck=dict(norm_cfg=norm_cfg),
    roi_head=dict(
        bbox_head=dict(
            type='Shared4Conv1FCBBoxHead',
            conv_out_channels=256,
            norm_cfg=norm_cfg,
        ),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
)

train_cfg = dict(max_epochs=36)
warmup, steps = _base_.param_scheduler
param_scheduler = [
    {**warmup, 'start_factor': 1 / 3},
    {**steps, 'end': 36, 'milestones': [28, 33]},
]
