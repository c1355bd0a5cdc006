import pytest
import torch
from benchmark import Setting
from benchmark.allocations import saved_bytes
from benchmark.memory import peak_memory
from torch import nn

from mmvovnet import VoVNet
from mmvovnet.models.memory import recompute_elementwise


def kept(model, x):
    """Bytes that are held for the backward pass; on a GPU those allocated."""
    if not x.is_cuda:
        return saved_bytes(model, x)
    before = torch.cuda.memory_allocated()
    loss = sum(out.sum() for out in model(x))
    assert loss.requires_grad
    return torch.cuda.memory_allocated() - before


def test_kept_against_timm(device):
    timm = pytest.importorskip('timm', reason='timm is not installed')
    ours = VoVNet('V-39', memory_efficient=True).to(device)
    theirs = timm.create_model('vovnet39a', features_only=True).to(device)
    size = 224 if device == 'cuda' else 96
    x = torch.rand(4, 3, size, size, device=device)
    assert kept(ours, x) < 0.5 * kept(theirs, x)


@pytest.mark.cuda
def test_peak_against_timm():
    pytest.importorskip('timm', reason='timm is not installed')
    setting = Setting(8, 224, 'cuda')
    ours = peak_memory('V-39+memory_efficient', setting)
    assert ours < 0.8 * peak_memory('timm:vovnet39a', setting)


@pytest.mark.parametrize(
    'dtype', [torch.float32, torch.float16, torch.bfloat16], ids=str
)
@pytest.mark.parametrize(
    'layout', [torch.contiguous_format, torch.channels_last], ids=str
)
def test_norm_is_made_again_with_the_same_rounding(device, layout, dtype):
    """cuDNN's norm makes the output, native_batch_norm makes it again."""
    torch.manual_seed(0)
    x = torch.randn(4, 32, 24, 24, device=device) * 3 + 1
    x = x.to(dtype).contiguous(memory_format=layout).requires_grad_()
    norm = nn.BatchNorm2d(32).to(device)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    with recompute_elementwise():
        out = norm(x).relu()
    assert out.dtype == dtype
    with torch.no_grad():
        again = out.grad_fn._saved_result
    assert again.data_ptr() != out.data_ptr()
    close = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(again, out.detach(), rtol=close, atol=close)
