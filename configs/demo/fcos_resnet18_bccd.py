# mmdet's ResNet-18 in place of VoVNet-27-slim on blood cells: from scratch too,
# with the same neck, head, data and schedule.
_base_ = './fcos_vovnet27-slim_bccd.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        out_indices=(1, 2, 3),
        norm_eval=False,
    ),
    neck=dict(in_channels=[128, 256, 512]),
)
