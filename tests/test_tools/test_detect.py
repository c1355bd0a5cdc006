import runpy
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / 'tools' / 'detect.py'


def run(monkeypatch, *args):
    monkeypatch.setattr('sys.argv', ['detect.py', *map(str, args)])
    runpy.run_path(str(TOOL), run_name='__main__')


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        ([TOOL, '--model=missing.onnx'], "no file 'missing.onnx'"),
        ([TOOL, '--model', TOOL], 'a config needs --checkpoint'),
        ([TOOL, '--model', TOOL.parent, '--checkpoint=x.pth'], 'is no file'),
        ([TOOL, '--model', TOOL, '--checkpoint=x.pth'], "no file 'x.pth'"),
        ([TOOL, '--model', TOOL, '--batch-size=0'], 'at least 1, not 0'),
        ([TOOL, '--model', TOOL, '--out-json', TOOL.parent], 'a folder'),
    ],
)
def test_bad_arguments(args, message, monkeypatch, capsys):
    with pytest.raises(SystemExit) as done:
        run(monkeypatch, *args)
    assert done.value.code == 2
    assert message in capsys.readouterr().err


def test_no_image(monkeypatch, tmp_path):
    (tmp_path / 'model.onnx').touch()
    with pytest.raises(SystemExit) as done:
        run(monkeypatch, tmp_path / 'no*.jpg', '--model',
            tmp_path / 'model.onnx')  # fmt: skip
    assert 'there is no image or video' in str(done.value.code)
