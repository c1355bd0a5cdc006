# Pascal VOC 2007 and 2012, tested on 2007, for RefineDet: names that a config
# puts together with its pipelines.
voc_root = 'data/VOCdevkit/'
voc_train = [
    dict(
        type='VOCDataset',
        data_root=voc_root,
        ann_file=f'VOC{year}/ImageSets/Main/trainval.txt',
        data_prefix=dict(sub_data_root=f'VOC{year}/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
    )
    for year in (2007, 2012)
]
voc_test = dict(
    _delete_=True,
    type='VOCDataset',
    data_root=voc_root,
    ann_file='VOC2007/ImageSets/Main/test.txt',
    data_prefix=dict(sub_data_root='VOC2007/'),
    test_mode=True,
)
voc_evaluator = dict(
    _delete_=True, type='VOCMetric', metric='mAP', eval_mode='11points'
)
# The authors' Caffe scripts take overlaps above 0.7 and below 0.3 in the first
# head, as a proposal network does.
voc_model = dict(
    bbox_head=dict(num_classes=20),
    train_cfg=dict(
        arm=dict(assigner=dict(pos_iou_thr=0.7, neg_iou_thr=0.3)),
    ),
)
