import csv
import runpy
import sys
from pathlib import Path

TOOL = Path(__file__).parents[3] / 'tools' / 'benchmark.py'


def test_table_and_plot(tmp_path, monkeypatch, capsys):
    rows = ['V-27-slim', 'V-19-slim-eSE']
    options = '--inference --rounds 2 --batch 1 --size 32 --device cpu --out'
    monkeypatch.setattr(
        sys, 'argv', [str(TOOL), *rows, *options.split(), str(tmp_path)]
    )
    runpy.run_path(str(TOOL), run_name='__main__')
    assert '| V-27-slim | 1 | 32x32 |' in capsys.readouterr().out
    with open(tmp_path / 'benchmark.csv', newline='') as file:
        assert [row['model'] for row in csv.DictReader(file)] == rows
    assert (tmp_path / 'benchmark.png').stat().st_size > 1000
