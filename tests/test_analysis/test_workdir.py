import json
import runpy
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.fileio import dump, load
from mmengine.registry import MODELS, RUNNERS, DefaultScope
from PIL import Image

from mmvovnet.analysis import workdir
from mmvovnet.engine import load_config
from tests.pictures import check
from tests.test_device.conftest import TINY

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_scope():
    yield
    DefaultScope._instance_dict.clear()


def log(folder, lines):
    path = folder / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(map(json.dumps, lines)))


def test_curves_of_a_resumed_training(tmp_path):
    train = {'lr': 0.1, 'time': 1.0, 'epoch': 1}
    log(
        tmp_path / '20260101_000000',
        [
            train | {'loss': 3.0, 'loss_cls': 1.0, 'step': 5},
            {'coco/bbox_mAP': 0.5, 'coco/bbox_mAP_l': -1, 'step': 1},
            train | {'loss': 2.0, 'step': 10},
        ],
    )
    log(tmp_path / '20260102_000000', [train | {'loss': 1.0, 'step': 10}])
    training, validation = workdir.read_curves(tmp_path)
    assert training == {'loss': {5: 3.0, 10: 1.0}, 'loss_cls': {5: 1.0}}
    assert validation == {'coco/bbox_mAP': {5: 0.5}}
    figure = Figure()
    workdir.draw_curves(figure, tmp_path)
    assert [ax.get_title() for ax in figure.axes] == ['training', 'validation']


def test_a_folder_without_a_training(tmp_path):
    with pytest.raises(FileNotFoundError, match='no logged losses'):
        workdir.read_curves(tmp_path)
    with pytest.raises(FileNotFoundError, match='that of a training, and'):
        workdir.predict(tmp_path, tmp_path / 'out')
    done = subprocess.run(
        [sys.executable, ROOT / 'tools/analyze.py', tmp_path / 'none'],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert 'there is no' in done.stderr


def test_confusion_is_drawn_with_its_counts():
    counts = np.array([[3, 1, 0], [0, 0, 0], [0, 2, 5]])
    figure = Figure()
    workdir.draw_confusion(figure, counts, ['a', 'b', 'c'])
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == ['3', '1', '2', '5']


def train(config, work_dir, *options, arch='V-27-slim'):
    """Train for an epoch, on few images."""
    cfg = load_config(
        ROOT / 'configs' / f'{config}.py',
        [
            'train_cfg.max_epochs=1',
            'train_dataloader.dataset.indices=16',
            'val_dataloader.dataset.indices=12',
            'test_dataloader.dataset.indices=12',
            'log_level=ERROR',
            # mmengine keeps one of a name for all trainings of a process.
            f'visualizer.name={work_dir}',
            *options,
        ],
        str(work_dir),
    )
    cfg.model.backbone.arch = arch
    RUNNERS.build(cfg).train()


def test_few_false_positives_are_not_the_darkest():
    """Three boxes on the background, and a class found 50 times of 100."""
    figure = Figure()
    counts = np.array([[50, 50], [3, 0]])
    workdir.draw_confusion(figure, counts, ['cell', 'background'])
    shares = figure.axes[0].images[0].get_array()
    assert shares.tolist() == [[0.5, 0.5], [0.03, 0.0]]
    assert figure.axes[0].images[0].get_clim() == (0, 1)
    across, along = figure.axes[0].lines  # set the background apart
    assert across.get_ydata()[0] == along.get_xdata()[0] == 0.5
    assert figure.axes[1].get_ylabel() == 'share of the row'


def data_set(kind):
    """Two objects of one class in an image of 64x64, in either form."""
    root = Path('data')
    for name in ('Annotations', 'JPEGImages'):
        (root / name).mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(256, size=(64, 64, 3))
    Image.fromarray(pixels.astype(np.uint8)).save('data/JPEGImages/a.jpg')
    boxes = [[10, 10, 30, 30], [10, 35, 30, 55]]
    common = dict(metainfo=dict(classes=('cell',)), test_mode=True)
    if kind == 'VOC':
        (root / 'list.txt').write_text('a')
        objects = ''.join(
            '<object><name>cell</name><bndbox>'
            + ''.join(
                f'<{key}>{value + 1}</{key}>'
                for key, value in zip(
                    ('xmin', 'ymin', 'xmax', 'ymax'), box, strict=True
                )
            )
            + '</bndbox></object>'
            for box in boxes
        )
        (root / 'Annotations' / 'a.xml').write_text(
            '<annotation><size><width>64</width><height>64</height></size>'
            f'{objects}</annotation>'
        )
        return common | dict(
            type='XMLDataset',
            ann_file='data/list.txt',
            data_prefix=dict(sub_data_root='data'),
        )
    truth = dict(
        images=[dict(id=7, file_name='a.jpg', width=64, height=64)],
        annotations=[
            dict(id=i, image_id=7, category_id=3, area=400, iscrowd=0)
            | dict(bbox=[x, y, 20, 20])
            for i, (x, y, *_) in enumerate(boxes, 1)
        ],
        categories=[dict(id=3, name='cell')],
    )
    (root / 'truth.json').write_text(json.dumps(truth))
    return common | dict(
        type='CocoDataset',
        ann_file='data/truth.json',
        data_prefix=dict(img='data/JPEGImages'),
    )


@pytest.fixture
def analyzed(tmp_path, monkeypatch):
    """The errors of some detections, as a figure."""
    pytest.importorskip('mmdet', exc_type=ImportError)
    monkeypatch.chdir(tmp_path)

    def analyze(kind, *boxes):
        found = dict(
            bboxes=torch.tensor(boxes).reshape(-1, 4),
            labels=torch.zeros(len(boxes), dtype=torch.long),
            scores=torch.full((len(boxes),), 0.9),
        )
        dump([dict(pred_instances=found)], 'predictions.pkl')
        loader = dict(dataset=data_set(kind))
        cfg = Config(dict(default_scope='mmdet', test_dataloader=loader))
        with patch.object(Figure, 'savefig', autospec=True) as save:
            picture = workdir.analyze_errors(cfg, tmp_path)
        if not picture:
            return None
        figure, path = save.call_args.args
        assert path == picture
        check(figure)  # the legend hides nothing
        names = [text.get_text() for text in figure.legends[0].get_texts()]
        return names[::-1]

    return analyze


@pytest.mark.parametrize('kind', ['COCO', 'VOC'])
def test_kinds_of_errors(analyzed, kind):
    assert analyzed(kind, [10.0, 10, 30, 30]) == [
        'C75 0.505',
        'C50 0.505',
        'Loc 0.505',
        'Cls 0.505',
        'BG 0.505',
        'FN 1.000',
    ]


def test_errors_without_a_detection(analyzed):
    assert analyzed('COCO') is None


def test_evaluators_of_any_kind(tmp_path, monkeypatch):
    pytest.importorskip('mmdet', exc_type=ImportError)
    from ..test_data_check.test_steps import config

    monkeypatch.chdir(tmp_path)
    cfg = Config(config())
    for key in ('train_dataloader', 'optim_wrapper', 'val_evaluator'):
        cfg.pop(key)
    cfg.test_dataloader = cfg.pop('val_dataloader')
    pipeline = cfg.test_dataloader.dataset.pipeline
    cfg.test_dataloader.update(batch_size=1, num_workers=0)
    cfg.test_dataloader.persistent_workers = False
    cfg.test_dataloader.dataset = data_set('VOC') | dict(pipeline=pipeline)
    cfg.test_evaluator = [dict(type='VOCMetric'), dict(type='CocoMetric')]
    cfg.test_cfg = dict(type='TestLoop')
    cfg.model.bbox_head.num_classes = 1
    log(tmp_path / 'run' / 'now', [{'loss': 1.0, 'lr': 0.1, 'step': 1}])
    cfg.dump('run/config.py')
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    state = dict(state_dict=model.state_dict(), meta={})
    torch.save(state, 'run/epoch_1.pth')
    paths = workdir.report('run', 'out')
    names = ['curves.png', 'confusion.png', 'errors.png']
    assert [path.name for path in paths] == names


def test_segmentation_is_refused_by_name(tmp_path):
    config = "model = dict()\ndefault_scope = 'mmseg'\n"
    (tmp_path / 'config.py').write_text(config)
    with pytest.raises(ValueError, match=r'config.py. is one of mmseg'):
        workdir.predict(tmp_path, tmp_path / 'out')


def test_an_object_counts_once(tmp_path):
    """Of two detections the one of the right class, the other is false."""
    truth = dict(
        images=[dict(id=0, file_name='a.png', width=64, height=64)],
        annotations=[
            dict(id=n, image_id=0, category_id=n % 2, iscrowd=n > 3)
            | dict(bbox=[10 * n, 10, 10, 10], area=100)
            for n in range(1, 5)
        ],
        categories=[dict(id=0, name='cell'), dict(id=1, name='rest')],
    )
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    data = dict(
        type='CocoDataset',
        ann_file=str(tmp_path / 'truth.json'),
        data_prefix=dict(img=''),
        metainfo=dict(classes=('cell', 'rest')),
        test_mode=True,
    )
    cfg = Config(
        dict(default_scope='mmdet', test_dataloader=dict(dataset=data))
    )
    boxes = [[10, 10, 20, 20], [10, 10, 20, 18], [20, 10, 30, 20]]
    boxes += [[20, 12, 30, 20], [40, 10, 50, 20], [0, 40, 9, 49]]
    found = dict(
        bboxes=torch.tensor(boxes, dtype=torch.float),
        labels=torch.tensor([0, 1, 1, 1, 0, 0]),
        scores=torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.2]),
    )
    counts, classes = workdir.confusion(cfg, [dict(pred_instances=found)])
    assert classes == ['cell', 'rest', 'background']
    # cells at 20 and, a crowd, 40; others at 10 and 30
    assert counts.tolist() == [[0, 1, 0], [0, 1, 1], [1, 1, 0]]


def test_the_newest_checkpoint_of_a_moved_folder(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('elsewhere/epoch_9.pth')
    with pytest.raises(FileNotFoundError, match='no whole checkpoint'):
        workdir.last_checkpoint(tmp_path)
    for number in (2, 10):
        torch.save(dict(meta={}), tmp_path / f'epoch_{number}.pth')
    last = str(tmp_path / 'epoch_10.pth')
    assert workdir.last_checkpoint(tmp_path) == last


def test_report_of_a_classifier(tmp_path):
    train(
        'demo/vovnet27-slim_digits',
        tmp_path / 'run',
        'train_cfg.val_interval=1',
        arch=TINY | dict(out_channels=(8, 8, 8, 512)),
    )
    paths = workdir.report(tmp_path / 'run', tmp_path / 'out')
    assert [path.name for path in paths] == ['curves.png', 'confusion.png']
    assert all(np.ptp(np.array(Image.open(path))) for path in paths)
    cfg = load_config(workdir.find_config(tmp_path / 'run'))
    predictions = load(tmp_path / 'out' / 'predictions.pkl')
    counts, classes = workdir.confusion(cfg, predictions)
    assert counts.sum() == 12
    assert classes == list('0123456789')


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'part'), [('fcos', 'neck'), ('refinedet', 'first head')]
)
def test_report_of_a_detector(name, part, tmp_path, monkeypatch, capsys):
    root = f'{tmp_path}/digits/'
    train(
        f'demo/{name}_vovnet27-slim_digits',
        tmp_path / 'run',
        f'train_dataloader.dataset.data_root={root}',
        f'val_dataloader.dataset.data_root={root}',
        f'test_dataloader.dataset.data_root={root}',
        f'val_evaluator.ann_file={root}val.json',
        f'test_evaluator.ann_file={root}val.json',
        'model.test_cfg.score_thr=0.0',
    )
    paths = workdir.report(tmp_path / 'run', tmp_path / 'out')
    names = ['curves.png', 'confusion.png', 'errors.png']
    assert [path.name for path in paths] == names
    assert all(np.ptp(np.array(Image.open(path))) for path in paths)

    monkeypatch.setattr(sys, 'argv', ['', '--time', f'{tmp_path}/run'])
    runpy.run_path(
        str(ROOT / 'tools/paper/refinement.py'), run_name='__main__'
    )
    assert f'| {part} |' in capsys.readouterr().out
