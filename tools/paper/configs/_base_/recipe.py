# How DenseNet is trained on CIFAR-10 (arXiv 1608.06993, section 4.2).
optim_wrapper = dict(
    optimizer=dict(
        type='SGD', lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
)
param_scheduler = dict(type='MultiStepLR', milestones=[150, 225], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=1)
val_cfg = dict()
test_cfg = dict()

# 1 process x 64 images
auto_scale_lr = dict(enable=False, base_batch_size=64)
