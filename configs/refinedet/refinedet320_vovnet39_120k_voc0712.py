# Pascal VOC at 320 pixels, as in the authors' Caffe scripts.
_base_ = ['./refinedet320_vovnet39_400k_coco.py', '../_base_/voc0712.py']

model = _base_.voc_model
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        ignore_keys=['dataset_type'],
        datasets=[
            dict(**voc, pipeline=_base_.train_pipeline)
            for voc in _base_.voc_train
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(**_base_.voc_test, pipeline=_base_.test_pipeline)
)
test_dataloader = val_dataloader
val_evaluator = _base_.voc_evaluator
test_evaluator = val_evaluator

train_cfg = dict(max_iters=120000, val_interval=10000)
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
param_scheduler = [
    dict(
        type='MultiStepLR',
        milestones=[80000, 100000],
        end=120000,
        by_epoch=False,
    )
]

# 4 GPUs x 8 images
auto_scale_lr = dict(base_batch_size=32)
