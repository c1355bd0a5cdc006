# SSD in place of FCOS on blood cells: same backbone, data and schedule.
_base_ = ['_base_/bccd.py', '_base_/ssd.py']

model = dict(
    data_preprocessor=_base_.pixels,
    bbox_head=dict(
        num_classes=3,
        anchor_generator=dict(ratios=[0.7, 1.0, 1.4]),
    ),
)
