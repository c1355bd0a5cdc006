# MMDetection's SSD300 with VoVNet-27-slim in place of VGG-16.
_base_ = ['mmdet::ssd/ssd300_coco.py', '../_base_/runtime.py']

custom_imports = dict(
    imports=['mmvovnet.engine', 'mmvovnet.models.refinedet'],
    allow_failed_imports=False,
)

model = dict(
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
        type='mmvovnet.SSDHead',  # see there what it mends
        in_channels=(256, 384, 512, 256, 256, 128),
    ),
)

train_dataloader = _base_.repeatable

# 8 GPUs x 8 images
auto_scale_lr = dict(enable=False, base_batch_size=64)
