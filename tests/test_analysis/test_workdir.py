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
from mmengine.registry import RUNNERS, DefaultScope
from PIL import Image

from mmvovnet.analysis import workdir
from mmvovnet.engine import load_config
from tests.pictures import check

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
    with pytest.raises(FileNotFoundError, match='no curves'):
        workdir.read_curves(tmp_path)
    with pytest.raises(FileNotFoundError, match='that of a training, and'):
        workdir.report(tmp_path, tmp_path / 'out')
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


def train(config, work_dir, *options):
    """Train for an epoch, on few images."""
    cfg = load_config(
        ROOT / 'configs' / f'{config}.py',
        [
            'train_cfg.max_epochs=1',
            'train_dataloader.dataset.indices=16',
            'val_dataloader.dataset.indices=12',
            'test_dataloader.dataset.indices=12',
            'log_level=ERROR',
            *options,
        ],
        str(work_dir),
    )
    RUNNERS.build(cfg).train()


def test_few_false_positives_are_not_the_darkest():
    """Three boxes on the background, beside a class found 50 times of 100."""
    figure = Figure()
    counts = np.array([[50, 50], [3, 0]])
    workdir.draw_confusion(figure, counts, ['cell', 'background'])
    shares = figure.axes[0].images[0].get_array()
    assert shares.tolist() == [[0.5, 0.5], [0.03, 0.0]]
    assert figure.axes[0].images[0].get_clim() == (0, 1)
    across, along = figure.axes[0].lines  # set the background apart
    assert across.get_ydata()[0] == along.get_xdata()[0] == 0.5
    assert figure.axes[1].get_ylabel() == 'share of the row'


@pytest.fixture
def detected(tmp_path):
    """What a test of two objects leaves, and a config without ann_file."""
    pytest.importorskip('mmdet', exc_type=ImportError)
    box = dict(image_id=0, category_id=0, bbox=[10, 10, 20, 20])
    truth = dict(
        images=[dict(id=0, file_name='a.png', width=64, height=64)],
        annotations=[
            box | dict(id=i + 1, bbox=[10, 10 + 25 * i, 20, 20], area=400,
                       iscrowd=0)
            for i in range(2)
        ],
        categories=[dict(id=0, name='cell')],
    )  # fmt: skip
    (tmp_path / 'results.gt.json').write_text(json.dumps(truth))

    def write(*boxes):
        (tmp_path / 'results.bbox.json').write_text(json.dumps(boxes))
        return Config(dict(test_evaluator=dict(ann_file=None))), tmp_path

    return box, write


def test_errors_without_an_annotation_file(detected):
    """As docs/own_data.md has it: the truth comes from the data set."""
    box, write = detected
    with patch.object(Figure, 'savefig', autospec=True) as save:
        picture = workdir.analyze_errors(*write(box | dict(score=0.9)))
    figure, path = save.call_args.args
    assert path == picture
    check(figure)  # the legend hides nothing
    # One class: there is none to be confused with.
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[::-1] == [
        'C75 0.505',
        'C50 0.505',
        'Loc 0.505',
        'BG 0.505',
        'FN 1.000',
    ]


def test_errors_without_a_detection(detected):
    _, write = detected
    assert workdir.analyze_errors(*write()) is None


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
    )
    paths = workdir.report(tmp_path / 'run', tmp_path / 'out')
    assert [path.name for path in paths] == ['curves.png', 'confusion.png']
    assert all(np.ptp(np.array(Image.open(path))) for path in paths)
    cfg = load_config(workdir.find_config(tmp_path / 'run'))
    predictions = workdir.load(tmp_path / 'out' / 'predictions.pkl')
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
