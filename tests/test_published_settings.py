"""The configs, as MMEngine reads them, against what was published.

One row is a setting of one or more configs: its key, its value, and where it
is published. A row is typed from the source, not from the config.
"""

from fnmatch import fnmatch

import pytest

from .test_configs.files import ROOT, load

CONFIGS = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.rglob('*.py')
    if '_base_' not in path.parts
)

VOVNET = 'arXiv 1904.09730'
CAFFE = "VoVNet-RefineDet, the paper's Caffe code"
REFINEDET = 'arXiv 1711.06897'
DSOD = 'DSOD, DSOD300_pascal.py'
PYTORCH = 'VoVNet.pytorch, README and main.py'
DETECTRON = 'Detectron, 1x 90k, 2x 180k, 3x 270k iterations of 16 images'
DETECTRON2 = 'vovnet-detectron2, README: 3x, shorter side 640 to 800'
FCOS = 'AdelaiDet, FCOS'
RSB = 'arXiv 2110.00476, A2'

# mmdet's schedules count 1x as 12 epochs, of 7330 iterations.
ARM, ODM = 'model.train_cfg.arm', 'model.train_cfg.odm'
SGD = 'optim_wrapper.optimizer'
STEPS = 'param_scheduler.-1.milestones'
ROWS = [
    # RefineDet
    ('refinedet/*', f'{SGD}.lr', 1e-3, f'{VOVNET}, section 4.3'),
    ('refinedet/*', f'{SGD}.momentum', 0.9, f'{REFINEDET}, section 3.4'),
    ('refinedet/*_coco*', f'{SGD}.weight_decay', 5e-4, CAFFE),
    ('refinedet/*_voc*', f'{SGD}.weight_decay', 1e-4, CAFFE),
    ('refinedet/*', 'optim_wrapper.paramwise_cfg.bias_lr_mult', 2, CAFFE),
    ('refinedet/*', 'optim_wrapper.paramwise_cfg.bias_decay_mult', 0, CAFFE),
    ('refinedet/*', 'model.test_cfg.nms.iou_threshold', 0.45, CAFFE),
    ('refinedet/*', 'model.test_cfg.nms_pre', 1000, CAFFE),
    ('refinedet/*', 'model.test_cfg.max_per_img', 500, CAFFE),
    ('refinedet/*', 'model.test_cfg.score_thr', 0.01, CAFFE),
    ('refinedet/*', f'{ARM}.neg_pos_ratio', 3, f'{REFINEDET}, section 3.3'),
    ('refinedet/*', f'{ODM}.neg_pos_ratio', 3, f'{REFINEDET}, section 3.3'),
    ('refinedet/*_coco*', f'{ARM}.assigner.pos_iou_thr', 0.5, CAFFE),
    ('refinedet/*_coco*', f'{ARM}.assigner.neg_iou_thr', 0.5, CAFFE),
    ('refinedet/*_voc*', f'{ARM}.assigner.pos_iou_thr', 0.7, CAFFE),
    ('refinedet/*_voc*', f'{ARM}.assigner.neg_iou_thr', 0.3, CAFFE),
    ('refinedet/*', f'{ODM}.assigner.pos_iou_thr', 0.5, CAFFE),
    ('refinedet/*', f'{ODM}.assigner.neg_iou_thr', 0.5, CAFFE),
    *(
        (
            'refinedet/*',
            f'model.arm_head.anchor_generator.{key}',
            value,
            REFINEDET,
        )
        for key, value in {
            'scales': [4],
            'ratios': [1.0, 0.5, 2.0],
            'strides': [8, 16, 32, 64],
            'centers': [(4, 4), (8, 8), (16, 16), (32, 32)],
        }.items()
    ),
    (
        'refinedet/*vovnet[357][79]_*',
        'model.backbone.stem_strides',
        (2, 1, 1),
        CAFFE,
    ),
    ('refinedet/*vgg16*', 'model.neck.l2_scales', (10, 8), REFINEDET),
    ('refinedet/*320*_400k_*', STEPS, [280000, 360000], f'{VOVNET}, 4.3'),
    ('refinedet/*512*_400k_*', STEPS, [280000, 360000], f'{VOVNET}, table 7'),
    ('refinedet/*_540k_*', STEPS, [400000, 480000], f'{VOVNET}, appendix A'),
    ('refinedet/*_120k_*', STEPS, [80000, 100000], CAFFE),
    ('refinedet/*_180k_*', STEPS, [130000, 160000], CAFFE),
    *(
        (
            f'refinedet/*_{k}k_*',
            'train_cfg.max_iters',
            1000 * k,
            f'{VOVNET}, {CAFFE}',
        )
        for k in (120, 180, 400, 540)
    ),
    ('refinedet/*_400k_*', 'auto_scale_lr.base_batch_size', 32, VOVNET),
    ('refinedet/*_540k_*', 'auto_scale_lr.base_batch_size', 20, VOVNET),
    ('refinedet/*_120k_*', 'auto_scale_lr.base_batch_size', 32, CAFFE),
    ('refinedet/*_180k_*', 'auto_scale_lr.base_batch_size', 20, CAFFE),
    # DSOD and SSD
    ('dsod/*', f'{SGD}.lr', 0.1, DSOD),
    ('dsod/*', f'{SGD}.weight_decay', 5e-4, DSOD),
    ('dsod/*', STEPS, [20000, 40000, 60000, 80000], DSOD),
    ('dsod/*', 'train_cfg.max_iters', 100000, f'{VOVNET}, section 4.2'),
    ('dsod/*', 'auto_scale_lr.base_batch_size', 128, f'{VOVNET}, section 4.2'),
    ('dsod/*', 'model.test_cfg.nms.iou_threshold', 0.45, DSOD),
    ('dsod/*', 'model.test_cfg.nms_pre', 400, DSOD),
    ('dsod/*', 'model.test_cfg.max_per_img', 200, DSOD),
    ('dsod/*', 'model.backbone.identity', False, f'{VOVNET}, figure 1'),
    ('dsod/*', 'val_evaluator.eval_mode', '11points', DSOD),
    (
        'dsod/*bottleneck*',
        'model.backbone.bottleneck',
        True,
        f'{VOVNET}, table 3',
    ),
    # FCOS
    *(
        ('fcos/*', f'model.bbox_head.{key}', value, FCOS)
        for key, value in {
            'center_sampling': True,
            'norm_on_bbox': True,
            'centerness_on_reg': True,
            'strides': [8, 16, 32, 64, 128],
            'stacked_convs': 4,
            'feat_channels': 256,
            'loss_cls.gamma': 2.0,
            'loss_cls.alpha': 0.25,
            'loss_bbox.type': 'GIoULoss',
        }.items()
    ),
    ('fcos/*', 'model.test_cfg.nms.iou_threshold', 0.6, FCOS),
    ('fcos/*', 'model.test_cfg.nms_pre', 1000, FCOS),
    ('fcos/*', 'model.test_cfg.score_thr', 0.05, FCOS),
    ('fcos/*', f'{SGD}.lr', 0.01, FCOS),
    # RetinaNet, Faster and Mask R-CNN
    ('retinanet/*', f'{SGD}.lr', 0.01, 'Detectron, RetinaNet'),
    ('*_rcnn/*', f'{SGD}.lr', 0.02, 'Detectron'),
    ('*_rcnn/*', f'{SGD}.weight_decay', 1e-4, 'Detectron'),
    ('*_rcnn/*', f'{SGD}.momentum', 0.9, 'Detectron'),
    *(
        (f'{method}/*', 'auto_scale_lr.base_batch_size', 16, DETECTRON)
        for method in ('fcos', 'retinanet', 'faster_rcnn', 'mask_rcnn')
    ),
    ('*/*_1x_coco*', 'train_cfg.max_epochs', 12, DETECTRON),
    ('*/*_1x_coco*', STEPS, [8, 11], DETECTRON),
    ('*/*2x_coco*', 'train_cfg.max_epochs', 24, DETECTRON),
    ('*/*2x_coco*', STEPS, [16, 22], DETECTRON),
    ('[fm]*/*3x_coco*', 'train_cfg.max_epochs', 36, DETECTRON),
    ('[fm]*/*ms-3x_coco*', STEPS, [27, 33], f'{DETECTRON2}; mmdet'),
    ('mask_rcnn/*scratch*', STEPS, [28, 33], f'{VOVNET}, table 5: 210k, 250k'),
    *(
        (
            'mask_rcnn/*scratch*',
            f'model.{part}.norm_cfg',
            dict(type='GN', num_groups=32),
            f'{VOVNET}, table 5',
        )
        for part in (
            'backbone',
            'neck',
            'roi_head.bbox_head',
            'roi_head.mask_head',
        )
    ),
    # Classifiers
    *(
        ('vovnet/*_8xb32_in1k*', key, value, PYTORCH)
        for key, value in {
            f'{SGD}.lr': 0.1,
            f'{SGD}.momentum': 0.9,
            f'{SGD}.weight_decay': 1e-4,
            'param_scheduler.milestones': [30, 60],
            'train_cfg.max_epochs': 90,
            'auto_scale_lr.base_batch_size': 256,
        }.items()
    ),
    ('vovnet/*300e*', 'train_cfg.max_epochs', 300, RSB),
    ('vovnet/*300e*', f'{SGD}.type', 'Lamb', RSB),
    ('vovnet/*300e*', f'{SGD}.lr', 5e-3, RSB),
    ('vovnet/*300e*', 'auto_scale_lr.base_batch_size', 2048, RSB),
]


def setting(cfg, key):
    for part in key.split('.'):
        cfg = cfg[int(part) if part.lstrip('-').isdigit() else part]
    return cfg


def plain(value):
    """Tuples and lists are one to a config."""
    return [*map(plain, value)] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize(('pattern', 'key', 'value', 'source'), ROWS)
def test_as_published(pattern, key, value, source):
    names = [name for name in CONFIGS if fnmatch(name, pattern)]
    assert names, 'no config has this name'
    for name in names:
        assert plain(setting(load(ROOT / name), key)) == plain(value), (
            name,
            source,
        )


def sides(name):
    """What the training pipeline resizes images to."""
    dataset = load(ROOT / name).train_dataloader.dataset
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset.get('dataset') or dataset.datasets[0]
    for step in dataset.pipeline:
        if step.type in ('RandomChoiceResize', 'RandomResize', 'Resize'):
            return step.get('scales') or step.scale
        if step.type == 'RandomChoice':
            return step.transforms[0][0].scale
    return None


@pytest.mark.parametrize(
    ('pattern', 'expected', 'source'),
    [
        ('refinedet/*320*', (320, 320), VOVNET),
        ('refinedet/*512*', (512, 512), VOVNET),
        ('dsod/*', (300, 300), VOVNET),
        ('ssd/*', (300, 300), 'arXiv 1512.02325'),
        (
            '[fm]*/*ms-3x_coco*',
            [(1333, side) for side in (640, 672, 704, 736, 768, 800)],
            DETECTRON2,
        ),
        ('fcos/*ms-2x_coco*', [(1333, 640), (1333, 800)], 'VoVNet-FCOS'),
        ('*/*_1x_coco*', (1333, 800), DETECTRON),
    ],
)
def test_sizes(pattern, expected, source):
    names = [name for name in CONFIGS if fnmatch(name, pattern)]
    assert names
    for name in names:
        assert plain(sides(name)) == plain(expected), (name, source)
