import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import RUNNERS, DefaultScope
from PIL import Image

from mmvovnet.analysis import workdir
from mmvovnet.engine import load_config

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
    with pytest.raises(FileNotFoundError, match='one config, and holds'):
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
            box | dict(id=i, bbox=[10, 10 + 25 * i, 20, 20], area=400,
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
    picture = workdir.analyze_errors(*write(box | dict(score=0.9)))
    assert Image.open(picture).size[0] > 100


def test_errors_without_a_detection(detected):
    _, write = detected
    assert workdir.analyze_errors(*write()) is None


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
