# The paper's light detector (arXiv 1904.09730, Table 2), from scratch on Pascal
# VOC, with MMDetection's SSD head. The paper does not give the widths of the
# three maps past the backbone's; these meet its counts.
_base_ = ['mmdet::pascal_voc/ssd300_voc0712.py', '../_base_/runtime.py']

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
    test_cfg=dict(score_thr=0.01, nms_pre=400),
)

# A resumed run then repeats the augmentations of the uninterrupted one.
train_dataloader = dict(
    batch_size=32,
    persistent_workers=False,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    batch_sampler=None,
    dataset=dict(times=1),
)

# DSOD's schedule (arXiv 1708.01241).
train_cfg = dict(
    _delete_=True,
    type='IterBasedTrainLoop',
    max_iters=100000,
    val_interval=10000,
)
optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = [
    dict(
        type='MultiStepLR',
        milestones=[20000, 40000, 60000, 80000],
        end=100000,
        by_epoch=False,
    )
]
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=10000, max_keep_ckpts=3)
)
log_processor = dict(by_epoch=False)

# 4 GPUs x 32 images
auto_scale_lr = dict(enable=False, base_batch_size=128)
