"""No output of a tool overwrites one of its inputs."""

import runpy
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'
CALLS = {
    'export': 'export.py c.py a.onnx --out a.onnx',
    'weights of an export': 'export.py c.py c.bin --format openvino',
    'visualize': 'visualize.py a.png c.py w.pth --out a.png',
    'convert': 'convert_checkpoint.py w.pth ./w.pth --to detectron2',
    'convert to a folder': 'convert_checkpoint.py hub/model.safetensors hub '
    '--to timm',
    'split': 'split_data.py train.json',
    'swap': 'swap.py c.py --out ./c.py --force',
    'test': 'test.py c.py w.pkl --out w.pkl',
    'analyze': 'analyze.py . --out-dir .',
    'detect': 'detect.py a.png --model a.onnx --out-dir .',
}


@pytest.mark.parametrize('call', CALLS.values(), ids=CALLS)
def test_inputs_stay(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('hub').mkdir()
    names = ['c.py', 'a.onnx', 'c.bin', 'a.png', 'w.pth', 'w.pkl']
    for name in (*names, 'hub/model.safetensors', 'train.json'):
        Path(name).write_text('model = dict()')
    before = sorted(tmp_path.rglob('*'))
    tool, *args = call.split()
    monkeypatch.setattr('sys.argv', [tool, *args])
    with pytest.raises(SystemExit, match='would overwrite'):
        runpy.run_path(str(TOOLS / tool), run_name='__main__')
    assert sorted(tmp_path.rglob('*')) == before
    for path in before:
        assert path.is_dir() or path.read_text() == 'model = dict()'
