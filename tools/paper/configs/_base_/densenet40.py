# DenseNet-40: growth rate 12, no bottleneck, no compression.
_base_ = [
    'mmpretrain::_base_/default_runtime.py',
    '../../../../configs/_base_/runtime.py',
]

custom_imports = dict(
    imports=['mmvovnet.engine', 'paper.networks'], allow_failed_imports=False
)

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmvovnet.CifarNet', block='dense', num_layers=12, width=12
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=448,
        loss=dict(type='CrossEntropyLoss'),
        topk=(1,),
    ),
)
