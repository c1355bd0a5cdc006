import runpy
import sys
from pathlib import Path

import pytest
import torch

from mmvovnet import VoVNet
from mmvovnet.weights.dialects import NAMES

TOOL = Path(__file__).parents[2] / 'tools' / 'convert_checkpoint.py'


def convert(monkeypatch, *args):
    monkeypatch.setattr(sys, 'argv', [TOOL.name, *map(str, args)])
    runpy.run_path(str(TOOL), run_name='__main__')


@pytest.fixture
def source(tmp_path):
    path = tmp_path / 'ours.pth'
    torch.save({'state_dict': VoVNet('V-27-slim').state_dict()}, path)
    return path


@pytest.mark.parametrize(
    ('dialect', 'suffix'),
    [
        ('torchvision', '.pth'),
        ('detectron2', '.pth'),
        ('timm', '.safetensors'),
    ],
)
def test_round_trip(dialect, suffix, source, tmp_path, monkeypatch):
    if suffix == '.safetensors':
        pytest.importorskip('safetensors')
    theirs = tmp_path / f'theirs{suffix}'
    convert(monkeypatch, source, theirs, '--to', dialect)
    back = tmp_path / 'back.pth'
    convert(monkeypatch, theirs, back)
    expected = torch.load(source, weights_only=True)['state_dict']
    result = torch.load(back, weights_only=True)
    assert result.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(result[name], value)
    assert not list(tmp_path.glob('*.part'))


def test_peers_name(source, tmp_path, monkeypatch):
    target = tmp_path / 'new' / 'timm.pth'
    convert(monkeypatch, source, target, '--to', 'timm')
    state = torch.load(target, weights_only=True)
    assert 'stages.0.blocks.0.conv_concat.conv.weight' in state


def test_names():
    assert runpy.run_path(str(TOOL))['NAMES'] == NAMES


def test_errors(source, tmp_path, monkeypatch, capsys):
    target = tmp_path / 'target.pth'
    with pytest.raises(SystemExit, match=r'error: .*none\.pth'):
        convert(monkeypatch, tmp_path / 'none.pth', target)
    other = tmp_path / 'other.pth'
    torch.save({'conv1.weight': torch.ones(1)}, other)
    with pytest.raises(SystemExit, match='error: no VoVNet'):
        convert(monkeypatch, other, target)
    with pytest.raises(SystemExit):
        convert(monkeypatch, source, target, '--to', 'caffe')
    assert 'timm' in capsys.readouterr().err
    assert not target.exists()
