from pathlib import Path

import pytest
import torch
from benchmark import Setting, cuda_memory
from benchmark.allocations import cuda_bytes, saved_bytes
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from mmvovnet import VoVNet
from mmvovnet.models.osa import OSAModule
from tests.test_device.conftest import tiny


def test_saved_bytes_equals_hooks():
    model = VoVNet('V-27-slim')
    x = torch.rand(2, 3, 64, 64)
    own = {p.data_ptr() for p in [*model.parameters(), *model.buffers()]}
    seen = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        outs = model(x)
    assert saved_bytes(model, x) == sum(seen.values())
    del outs


def test_a_conv_by_hand():
    conv = nn.Conv2d(3, 8, 1, bias=False)
    batch, out = 4 * 2 * 3 * 64 * 64, 4 * 2 * 8 * 64 * 64
    weights = 512  # what CUDA's allocator gives for 96 bytes
    found = cuda_bytes(conv, (2, 3, 64, 64))
    assert found.kept == batch + 512  # and the loss
    assert found.resident == batch + 2 * weights  # with momentum
    assert out < found.peak < 1.1 * out
    assert found.total == found.resident + found.peak


PAGE = Path(__file__).parents[3] / 'docs' / 'performance.md'


@pytest.mark.parametrize('saving', [False, True])
def test_kept_is_what_the_cpu_keeps(saving, monkeypatch):
    """Where the mode is the same; plain concatenates on CUDA."""
    monkeypatch.setattr(OSAModule, 'sum_devices', ())
    model = tiny(memory_efficient=saving, with_cp=saving)
    x = torch.rand(2, 3, 192, 192)
    found = cuda_bytes(model, x.shape)
    assert found.kept == pytest.approx(saved_bytes(model, x), rel=0.02)


def test_the_page_says_what_is_computed():
    setting = Setting(2, (800, 1344), 'cuda-fake')
    (found,) = cuda_memory(['V-39+memory_efficient+fcos'], setting)
    kept, peak, total = (found[f'{k} MB'] for k in ('kept', 'peak', 'total'))
    line = f'\n| `memory_efficient` | float32 | {kept} | {peak} | {total} |'
    assert line in PAGE.read_text()


def test_a_config_computes_without_its_losses():
    path = PAGE.parents[1] / 'configs/demo/mask-rcnn_vovnet27-slim_digits.py'
    (found,) = cuda_memory([f'{path}+with_cp'], Setting(1, 64))
    assert 0 < int(found['kept MB']) < int(found['total MB'])


def test_autocast_of_cuda_normalises_groups_in_float32():
    net = nn.Sequential(nn.Conv2d(3, 32, 1), nn.GroupNorm(4, 32))
    shape = (2, 3, 64, 64)
    out = 2 * 32 * 64 * 64
    single, half = (
        cuda_bytes(net, shape, dtype).kept - 4 * 2 * 3 * 64 * 64
        for dtype in (torch.float32, torch.float16)
    )
    assert single == pytest.approx(4 * out, rel=0.02)
    # The norm keeps its input in float32; the conv its cast images.
    assert half == pytest.approx(4 * out + 2 * 2 * 3 * 64 * 64, rel=0.02)
