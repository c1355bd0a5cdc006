# Pascal VOC 2007 and 2012, tested on 2007, as in the authors' Caffe scripts. The
# first head takes overlaps above 0.7 and below 0.3 there, as a proposal network.
_base_ = './refinedet320_vovnet39_400k_coco.py'

data_root = 'data/VOCdevkit/'

model = dict(
    bbox_head=dict(num_classes=20),
    train_cfg=dict(
        arm=dict(assigner=dict(pos_iou_thr=0.7, neg_iou_thr=0.3)),
    ),
)

train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        ignore_keys=['dataset_type'],
        datasets=[
            dict(
                type='VOCDataset',
                data_root=data_root,
                ann_file=f'VOC{year}/ImageSets/Main/trainval.txt',
                data_prefix=dict(sub_data_root=f'VOC{year}/'),
                filter_cfg=dict(filter_empty_gt=True, min_size=32),
                pipeline={{_base_.train_pipeline}},
            )
            for year in (2007, 2012)
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='VOCDataset',
        data_root=data_root,
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type='VOCMetric', metric='mAP', eval_mode='11points'
)
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
