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


def test_file_of_another_tool(tmp_path):
    path = tmp_path / 'model.torchscript'
    torch.jit.save(torch.jit.script(nn.ReLU()), path)
    with pytest.raises(ValueError, match=r'no metadata.* tools/export\.py'):
        load_exported(path)
