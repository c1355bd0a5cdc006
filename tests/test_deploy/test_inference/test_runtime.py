import json

import pytest
import torch
from torch import nn

from mmvovnet.deploy import load_exported


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file '.*model\.onnx'"):
        load_exported(tmp_path / 'model.onnx')


def test_unknown_suffix(tmp_path):
    path = tmp_path / 'model.pth'
    path.touch()
    with pytest.raises(ValueError, match=r"model\.pth' is no exported model"):
        load_exported(path)


def test_bfloat16_is_openvinos(tmp_path):
    path = tmp_path / 'model.onnx'
    path.touch()
    with pytest.raises(ValueError, match="bfloat16 is for OpenVINO's files"):
        load_exported(path, bfloat16=True)


def test_file_of_another_tool(tmp_path):
    path = tmp_path / 'model.torchscript'
    torch.jit.save(torch.jit.script(nn.ReLU()), path)
    with pytest.raises(ValueError, match=r'no metadata.* tools/export\.py'):
        load_exported(path)


@pytest.fixture(scope='module')
def scripted(tmp_path_factory):
    path = tmp_path_factory.mktemp('exported') / 'a.torchscript'
    module = torch.jit.trace(nn.Linear(2, 2), torch.rand(1, 2))
    extra = {'metadata.json': json.dumps(dict(kind='raw', outputs=['y']))}
    torch.jit.save(module, str(path), _extra_files=extra)
    return path.read_bytes()


@pytest.mark.parametrize(
    'harm',
    [
        lambda data: b'',
        lambda data: data[:-100],
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b'{"kind"', b'["kind"'),
        lambda data: b'<!DOCTYPE html>',
    ],
)
@pytest.mark.parametrize('suffix', ['.torchscript', '.pt2', '.onnx', '.xml'])
def test_damaged_files(scripted, tmp_path, suffix, harm):
    if suffix == '.onnx':
        pytest.importorskip('onnxruntime')
    if suffix == '.xml':
        pytest.importorskip('openvino')
    path = tmp_path / f'a{suffix}'
    path.write_bytes(harm(scripted))
    with pytest.raises(ValueError, match=f"a{suffix}' can't be read") as error:
        load_exported(path)
    assert '\n' not in str(error.value)
