import importlib

import pytest
import torch

from mmvovnet.deploy import accelerate

from .conftest import error, images, tiny


@pytest.mark.parametrize(
    ('device', 'dtype'),
    [
        ('cpu', torch.float64),
        pytest.param('cuda', torch.float32, marks=pytest.mark.cuda),
    ],
    ids=['cpu', 'cuda'],
)
def test_accelerate_elsewhere_just_folds(device, dtype, monkeypatch):
    """No kernel is compiled, and no transformed weight held."""
    module = importlib.import_module('mmvovnet.deploy.cpu.accelerate')
    monkeypatch.setattr(module, 'load_kernels', pytest.fail)
    model = tiny(device).to(dtype).eval()
    fast, x = accelerate(model), images(device).to(dtype)
    assert 'mmvovnet.deploy.cpu.packed' not in {
        type(part).__module__ for part in fast.modules()
    }
    with torch.no_grad():
        assert error(fast(x), model(x)) < 1e-3
