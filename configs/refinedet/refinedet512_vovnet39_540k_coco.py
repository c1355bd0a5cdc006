# The paper's first schedule at this size, for 20 images a batch (appendix A).
_base_ = './refinedet512_vovnet39_400k_coco.py'

train_dataloader = dict(batch_size=5)
train_cfg = dict(max_iters=540000)
param_scheduler = [
    dict(
        type='MultiStepLR',
        milestones=[400000, 480000],
        end=540000,
        by_epoch=False,
    )
]

# 4 GPUs x 5 images
auto_scale_lr = dict(base_batch_size=20)
