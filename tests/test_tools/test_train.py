"""tools/train.py and tools/test.py on a tiny config of each codebase."""

import itertools
import json
import pickle
import runpy
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from mmengine.registry import RUNNERS

TOOLS = Path(__file__).parents[2] / 'tools'

COMMON = """
train_cfg = dict(by_epoch=True, max_epochs=1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.001))
auto_scale_lr = dict(enable=False, base_batch_size=8)
arch = dict(
    stem_channels=(8, 8, 8),
    conv_channels=(8, 8, 8, 8),
    out_channels=(8, 8, 8, 8),
    num_modules=(1, 1, 1, 1),
    num_layers=1,
)
backbone = dict(type='mmvovnet.VoVNet', arch=arch, out_indices=(3,))

def loader(dataset, pack):
    pipeline = [dict(type='LoadImageFromFile'), *pack]
    return dict(
        dataset=dict(data_root='data', pipeline=pipeline, **dataset),
        sampler=dict(type='DefaultSampler', shuffle=False),
        batch_size=2,
        num_workers=0,
        persistent_workers=False,
    )
"""
CLASSIFIER = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=backbone,
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=8, topk=(1,)),
)
train_dataloader = val_dataloader = test_dataloader = loader(
    dict(type='CustomDataset'), [dict(type='PackInputs')]
)
val_evaluator = test_evaluator = dict(type='Accuracy')
default_hooks = dict(visualization=dict(type='VisualizationHook'))
visualizer = dict(
    type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
)
"""
DETECTOR = """
default_scope = 'mmdet'
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
model = dict(
    type='FCOS',
    data_preprocessor=dict(type='DetDataPreprocessor'),
    backbone=backbone,
    neck=dict(type='FPN', in_channels=[8], out_channels=8, num_outs=1),
    bbox_head=dict(
        type='FCOSHead',
        num_classes=2,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        strides=[32],
        regress_ranges=((-1, 1e8),),
        norm_cfg=dict(type='BN'),
    ),
    test_cfg=dict(score_thr=0, nms=dict(iou_threshold=0.5), max_per_img=5),
)
train_dataloader = val_dataloader = test_dataloader = loader(
    dict(
        type='CocoDataset',
        ann_file='coco.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=('a', 'b')),
    ),
    [
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='Resize', scale_factor=1.0),
        dict(type='PackDetInputs', meta_keys=meta_keys),
    ],
)
val_evaluator = test_evaluator = dict(
    type='CocoMetric', ann_file='data/coco.json'
)
default_hooks = dict(visualization=dict(type='DetVisualizationHook'))
visualizer = dict(
    type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four images of two classes, also as COCO; it becomes the cwd."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0)
    coco = dict(
        images=[],
        annotations=[],
        categories=[dict(id=i, name=name) for i, name in enumerate('ab')],
    )
    for i in range(4):
        name = f'{"ab"[i % 2]}/{i}.png'
        path = tmp_path / 'data' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), noise.integers(0, 255, (64, 64, 3)))
        image = dict(id=i, file_name=name, width=64, height=64)
        coco['images'].append(image)
        box = dict(
            id=i + 1, image_id=i, category_id=i % 2, bbox=[8, 8, 40, 40]
        )
        coco['annotations'].append(box | dict(area=1600, iscrowd=0))
    (tmp_path / 'data' / 'coco.json').write_text(json.dumps(coco))
    return tmp_path


RUNS = itertools.count()


def run(monkeypatch, tool, *args):
    # mmengine names its global objects by this and the second of the day.
    name = f'experiment_name=run-{next(RUNS)}'
    argv = [tool, 'tiny.py', *args, '--cfg-options', name]
    monkeypatch.setattr(sys, 'argv', argv)
    runpy.run_path(str(TOOLS / tool), run_name='__main__')


def log(folder):
    return max(folder.glob('*/*.log')).read_text()


@pytest.mark.parametrize(
    'codebase, config, metric',
    [
        pytest.param(
            *('mmpretrain', CLASSIFIER, 'accuracy/top1'),
            marks=pytest.mark.slow,
        ),
        ('mmdet', DETECTOR, 'coco/bbox_mAP'),
    ],
)
def test_train_resume_test(folder, monkeypatch, codebase, config, metric):
    pytest.importorskip(f'{codebase}.models', exc_type=ImportError)
    Path('tiny.py').write_text(COMMON + config)
    work_dir = folder / 'work_dirs' / 'tiny'
    run(monkeypatch, 'train.py', '--auto-scale-lr')
    assert 'Scaling the original LR by 0.25' in log(work_dir)
    longer = ['--cfg-options', 'train_cfg.max_epochs=2', '--no-validate']
    run(monkeypatch, 'train.py', '--resume', *longer)
    assert 'resumed epoch: 1, iter: 2' in log(work_dir)
    checkpoint = str(work_dir / 'epoch_2.pth')
    options = [
        '--work-dir',
        'tested',
        '--out',
        'out.pkl',
        '--show-dir',
        'seen',
    ]
    run(monkeypatch, 'test.py', checkpoint, *options)
    assert len(pickle.loads(Path('out.pkl').read_bytes())) == 4
    (metrics,) = Path('tested').glob('*/*.json')
    assert metric in json.loads(metrics.read_text())
    assert len(list(Path().rglob('seen/**/*.png'))) == 4
    is_said = 'the pictures show 0 objects' in log(Path('tested'))
    assert is_said == (codebase == 'mmdet')  # after four steps from scratch
    before = (work_dir / 'tiny.py').read_text()
    run(monkeypatch, 'test.py', checkpoint, '--tta')
    (metrics,) = work_dir.glob('tta/*/*.json')
    assert metric in json.loads(metrics.read_text())
    assert 'TestTimeAug' in log(work_dir / 'tta')
    assert (work_dir / 'tiny.py').read_text() == before


def test_unknown_files_are_named_at_once(folder):
    Path('tiny.py').touch()
    for args, missing in (
        (['train.py', 'nowhere.py'], 'nowhere.py'),
        (['train.py', 'tiny.py', '--resume', 'nowhere.pth'], 'nowhere.pth'),
        (['test.py', 'nowhere.py', 'tiny.py'], 'nowhere.py'),
        (['test.py', 'tiny.py', 'nowhere.pth'], 'nowhere.pth'),
    ):
        # -S and -I: no site-packages, so that nothing heavy can be imported
        python = [sys.executable, '-S', '-I', str(TOOLS / args[0])]
        done = subprocess.run([*python, *args[1:]], capture_output=True)
        assert done.returncode == 2
        assert f"there is no file '{missing}'" in done.stderr.decode()


@pytest.mark.parametrize(
    'tool, args, said',
    [
        ('train.py', ['--auto-scale-lr'], 'no auto_scale_lr.base_batch_size'),
        ('test.py', ['tiny.py', '--show-dir', 'x'], 'no default_hooks.visual'),
        ('test.py', ['tiny.py', '--tta'], 'tiny.py.*add default_scope'),
    ],
)
def test_flags_that_the_config_does_not_serve(
    folder, monkeypatch, tool, args, said
):
    Path('tiny.py').write_text('train_cfg = dict()')
    with pytest.raises(ValueError, match=said):
        run(monkeypatch, tool, *args)


def test_amp(folder, monkeypatch):
    Path('tiny.py').write_text(
        "runner_type = 'Recorder'\n"
        "optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD'))"
    )
    built = []

    @RUNNERS.register_module(force=True)
    class Recorder:
        @staticmethod
        def from_cfg(cfg):
            built.append(cfg)
            return Mock()

    run(monkeypatch, 'train.py', '--amp', '--resume', 'tiny.py')
    (cfg,) = built
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'
    assert cfg.resume and cfg.load_from == 'tiny.py'
