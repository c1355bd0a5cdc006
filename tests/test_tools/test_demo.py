"""The demo's own step: a training that it watches."""

import runpy
import sys
from pathlib import Path

import pytest

DEMO = runpy.run_path(str(Path(__file__).parents[2] / 'tools' / 'demo.py'))
SCALARS = """
from pathlib import Path
folder = Path('run', 'now', 'vis_data')
folder.mkdir(parents=True)
(folder / 'scalars.json').write_text('{"loss": 1.0, "step": 3}')
print('a line')
import time
time.sleep(1.5)
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
