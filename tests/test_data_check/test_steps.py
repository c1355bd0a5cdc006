import json
import logging

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from PIL import Image

from mmvovnet.data_check import check

from .test_check import SIZE, coco

pytest.importorskip('mmdet.datasets', exc_type=ImportError)


def config():
    """A detector of one small stage, on images of 64x64."""
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='Resize', scale=(SIZE, SIZE), keep_ratio=True),
        dict(
            type='PackDetInputs',
            meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor'),
        ),
    ]

    def loader(split, shuffle):
        return dict(
            batch_size=8,
            num_workers=2,
            persistent_workers=True,
            sampler=dict(type='DefaultSampler', shuffle=shuffle),
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='CocoDataset',
                ann_file=f'{split}.json',
                data_prefix=dict(img='images'),
                metainfo=dict(classes=('cat', 'dog')),
                pipeline=list(pipeline),
                test_mode=split == 'val',
            ),
        )

    return dict(
        default_scope='mmdet',
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        train_dataloader=loader('train', True),
        val_dataloader=loader('val', False),
        val_evaluator=dict(type='CocoMetric', ann_file='val.json'),
        model=dict(
            type='FCOS',
            data_preprocessor=dict(type='DetDataPreprocessor'),
            backbone=dict(
                type='mmvovnet.VoVNet',
                arch='V-19-slim-dw-eSE',
                out_indices=(2, 3),
            ),
            neck=dict(
                type='FPN', in_channels=[384, 512], out_channels=8, num_outs=2
            ),
            bbox_head=dict(
                type='FCOSHead',
                num_classes=2,
                in_channels=8,
                feat_channels=8,
                stacked_convs=1,
                strides=[16, 32],
                regress_ranges=((-1, 32), (32, 1e8)),
                norm_cfg=None,
            ),
            test_cfg=dict(
                nms_pre=10,
                score_thr=0.0,
                nms=dict(type='nms', iou_threshold=0.6),
                max_per_img=10,
            ),
        ),
    )


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'images').mkdir()
    for i in range(16):
        Image.new('RGB', (SIZE, SIZE)).save(f'images/{i}.png')
    for offset, split in ((0, 'train'), (8, 'val')):
        (tmp_path / f'{split}.json').write_text(json.dumps(coco(offset)))


def tried(cfg):
    return check(Config(cfg), depth='presence', steps=True).findings


def test_says_nothing_of_a_config_that_trains():
    logger = MMLogger.get_current_instance()
    said = logging.Handler(logging.INFO)
    said.emit = lambda record: pytest.fail(record.getMessage())
    logger.addHandler(said)
    try:
        cfg = config()
        # For which mmengine logs a line for each parameter.
        cfg['optim_wrapper']['paramwise_cfg'] = dict(bias_lr_mult=2.0)
        assert not tried(cfg)
    finally:
        logger.removeHandler(said)
    assert logger.isEnabledFor(logging.ERROR)


def change(cfg, path, value):
    *parents, key = path
    for parent in parents:
        cfg = cfg[parent]
    cfg[key] = value


HEAD = ('model', 'bbox_head')
STEPS = {
    'model': (
        (*HEAD, 'in_channels'),
        16,
        'model.bbox_head',
        'expected input[2, 8, 4, 4] to have 16 channels',
    ),
    'loss': (
        (*HEAD, 'loss_cls'),
        dict(type='CrossEntropyLoss', class_weight=[1.0]),
        'model.bbox_head.loss_cls',
        'weight',
    ),
    'build': (
        (*HEAD, 'loss_bbox'),
        dict(type='NoLoss'),
        'model.bbox_head.loss_bbox',
        'NoLoss is not in the',
    ),
    'pipeline': (
        ('train_dataloader', 'dataset', 'pipeline', 2),
        dict(type='Pad', size_divisor='32'),
        'train_dataloader.dataset.pipeline[2]',
        'unsupported operand',
    ),
    'optimizer': (
        ('optim_wrapper', 'optimizer', 'lr_'),
        1,
        'optim_wrapper.optimizer',
        "unexpected keyword argument 'lr_'",
    ),
    'metric': (
        ('val_evaluator', 'metric'),
        'segm',
        'val_evaluator',
        'segm is not in results',
    ),
}


@pytest.mark.parametrize('path, value, key, words', STEPS.values(), ids=STEPS)
def test_errors_name_their_key(path, value, key, words):
    cfg = config()
    change(cfg, path, value)
    (error,) = tried(cfg)
    assert error.level == 'error'
    assert error.where == key
    assert words in error.what
