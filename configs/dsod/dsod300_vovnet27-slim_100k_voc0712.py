# The paper's light detector (arXiv 1904.09730, Table 2), from scratch on Pascal
# VOC, with MMDetection's SSD head. The paper does not give the widths of the
# three maps past the backbone's; these meet its counts.
_base_ = [
    'mmdet::pascal_voc/ssd300_voc0712.py',
    '../_base_/ssd300_vovnet27-slim.py',
    '../_base_/runtime.py',
]

model = dict(
    **_base_.ssd300_model,
    test_cfg=dict(score_thr=0.01, nms_pre=400),
)

train_dataloader = dict(
    **_base_.repeatable,
    batch_size=32,
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
