"""The configs of docs/configs.md, built as a reader would build them."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from mmvovnet.weights.public import public_file

from .files import ROOT

PAGE = (ROOT.parent / 'docs' / 'configs.md').read_text()
BLOCKS = re.findall(r'```python\n(.*?)```', PAGE, re.S)
CONFIGS = [code for code in BLOCKS if '_base_' in code]
(BUILD,) = set(BLOCKS) - set(CONFIGS)


@pytest.fixture
def scope():
    pytest.importorskip('mmdet', exc_type=ImportError)
    yield
    DefaultScope._instance_dict.clear()


def test_no_config_is_left_out():
    assert len(CONFIGS) == 4


@pytest.mark.parametrize('number', range(len(CONFIGS)))
def test_a_config_builds(number, tmp_path, monkeypatch, scope):
    """With maps of the strides and channels that the neck expects."""
    folder = f"'{ROOT / 'fcos'}/"
    code = CONFIGS[number].replace("'../fcos/", folder)
    (tmp_path / 'mine.py').write_text(code)
    monkeypatch.chdir(tmp_path)
    cfg = Config.fromfile('mine.py')
    weights = cfg.model.backbone.init_cfg
    if weights:  # the pixels are theirs
        pixels = public_file(weights.checkpoint.split('://')[1]).pixels
        given = cfg.model.data_preprocessor
        assert tuple(given.mean) == tuple(pixels.mean)
        assert tuple(given.std) == tuple(pixels.std)
    names = {}
    with torch.device('meta'):
        exec(BUILD.replace('model.init_weights()', ''), names)
    model = names['model']
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    assert optimizer.param_groups[-1]['lr'] == cfg.optim_wrapper.optimizer.lr
    backbone = model.backbone.to_empty(device='cpu').eval()
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, 64, 64))
    assert [64 // m.shape[-1] for m in maps] == [8, 16, 32]
    assert [m.shape[1] for m in maps] == list(cfg.model.neck.in_channels)
    assert cfg.model.neck.get('start_level', 0) == 0


def test_without_delete_mmengine_refuses(tmp_path):
    """Why the page has `_delete_=True` in `arch=dict(...)`."""
    (code,) = (code for code in CONFIGS if 'stem_channels' in code)
    path = tmp_path / 'mine.py'
    code = code.replace("'../fcos/", f"'{ROOT / 'fcos'}/")
    path.write_text(code.replace('_delete_=True,', ''))
    with pytest.raises(TypeError, match='cannot inherit from base'):
        Config.fromfile(path)
