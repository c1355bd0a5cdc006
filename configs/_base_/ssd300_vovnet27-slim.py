# What SSD300 and DSOD300 on VoVNet-27-slim change in mmdet's SSD300.
ssd300_model = dict(
    data_preprocessor=dict(std=[58.395, 57.12, 57.375]),
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        arch='V-27-slim',
        out_indices=(1, 2, 3),
        stem_strides=(2, 1, 1),
        identity=False,
    ),
    neck=dict(
        in_channels=(256, 384, 512),
        out_channels=(256, 384, 512, 256, 256, 128),
        level_strides=(2, 2, 1),
        level_paddings=(1, 1, 0),
        l2_norm_scale=None,  # the maps have batch norms
        norm_cfg=dict(type='BN'),
    ),
    bbox_head=dict(
        type='mmvovnet.SSDHead',  # mmdet's own cannot predict
        in_channels=(256, 384, 512, 256, 256, 128),
    ),
)
