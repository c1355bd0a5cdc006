# The digits of scikit-learn with shifts, trained for 8 epochs.
_base_ = './recipe.py'

data_preprocessor = dict(
    num_classes=10,
    mean=[78.1],  # of the training images
    std=[96.0],
)
resize = dict(type='Resize', scale=(16, 16), interpolation='bicubic')
pack = dict(type='PackInputs')
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmvovnet.DigitsClassification',
        split='train',
        pipeline=[
            resize,
            # No mirror image: a mirrored 2 is not a 2.
            dict(type='RandomCrop', crop_size=16, padding=2),
            pack,
        ],
    ),
)
val_dataloader = dict(
    batch_size=120,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmvovnet.DigitsClassification',
        split='val',
        test_mode=True,
        pipeline=[resize, pack],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=8)
param_scheduler = dict(milestones=[4, 6])
custom_hooks = [dict(type='mmvovnet.ChannelsLastHook')]
