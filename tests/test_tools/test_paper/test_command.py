import runpy
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[3] / 'tools' / 'paper.py'


@pytest.fixture
def run(monkeypatch, tmp_path):
    def run(*args):
        argv = [str(TOOL), *args, '--out', str(tmp_path)]
        monkeypatch.setattr(sys, 'argv', argv)
        runpy.run_path(str(TOOL), run_name='__main__')

    return run


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['speed'], "invalid choice: 'speed'"),
        (['energy', '--options', 'sise=4'], "has no options ['sise']"),
    ],
)
def test_bad_arguments(args, message, run, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*args)
    assert stop.value.code not in (0, None)
    assert message in f'{capsys.readouterr().err}{stop.value}'
    assert not list(tmp_path.iterdir())


def test_files_and_command(run, tmp_path, capsys):
    run('energy', '--options', 'device=cpu', 'size=32', 'rounds=1')
    names = {path.name for path in tmp_path.iterdir()}
    assert {'energy.md', 'energy.csv'} <= names  # a meter adds a picture
    text = (tmp_path / 'energy.md').read_text()
    assert text in capsys.readouterr().out
    assert '`python tools/paper.py energy --options device=cpu' in text


def test_help_lists_the_claims(run, capsys):
    with pytest.raises(SystemExit):
        run('--help')
    assert 'memory_access' in capsys.readouterr().out
