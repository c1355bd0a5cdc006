"""The demo's own steps: a training that it watches, and a picture."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DEMO = runpy.run_path(str(Path(__file__).parents[2] / 'tools' / 'demo.py'))
SCALARS = """
from pathlib import Path
folder = Path('run', 'now', 'vis_data')
folder.mkdir(parents=True)
(folder / 'scalars.json').write_text('{"loss": 1.0, "step": 3}')
print('a line')
import time
time.sleep(0.7)
"""


def test_a_bar_follows_the_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    DEMO['train']([sys.executable, '-c', SCALARS], Path('run'), 4)
    assert Path('run', 'training.txt').read_text() == 'a line\n'
    assert '100%' in capsys.readouterr().out


def test_a_failure_shows_what_was_said(tmp_path):
    command = [sys.executable, '-c', 'raise RuntimeError("no data")']
    with pytest.raises(SystemExit, match=r'no data[\s\S]*training failed'):
        DEMO['train'](command, tmp_path, 4)


def test_boxes_are_drawn_on_their_own_picture(tmp_path):
    images = [np.zeros((64, 64, 3), np.uint8)] * 3
    truth = (np.array([[10, 20, 40, 50]]), ['1'])
    none = (np.zeros((0, 4)), [])
    pictures = {}
    for name, truths, detections in (
        ('none', [none] * 3, [none] * 3),
        ('truth', [truth, none, none], [none] * 3),
        ('other', [none] * 3, [(truth[0], ['not a class']), none, none]),
    ):
        path = tmp_path / f'{name}.png'
        DEMO['plot_detections'](images, truths, detections, path)
        pictures[name] = np.asarray(Image.open(path).convert('RGB'), int)
    quarter = pictures['none'].shape[1] // 4
    for name, column in (('truth', 0), ('other', 1)):
        change = np.abs(pictures[name] - pictures['none']).sum((0, 2))
        changed = set((change.nonzero()[0] // quarter).tolist())
        assert changed == {column}
