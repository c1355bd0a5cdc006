"""Each test here runs on a CPU, and once more on a GPU where there is one."""

import pytest
import torch

from mmvovnet import VoVNet

TINY = dict(
    stem_channels=(8, 8, 16),
    conv_channels=(8, 8, 8, 8),
    out_channels=(16, 16, 16, 16),
    num_modules=(1, 1, 2, 2),
    num_layers=2,
)


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=pytest.mark.cuda)])
def device(request):
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield request.param


def tiny(device='cpu', arch=TINY, **kwargs):
    torch.manual_seed(0)
    return VoVNet(arch, gate='eSE', **kwargs).to(device)


def images(device='cpu', seed=1, size=64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, size, size, generator=generator).to(device)


def step(model, x, dtype=torch.float32):
    """Forward and backward; return outputs and gradients in float32."""
    with torch.autocast(x.device.type, dtype, enabled=dtype.itemsize == 2):
        outs = model(x)
    sum(out.float().square().sum() for out in outs).backward()
    grads = [p.grad.float() for p in model.parameters() if p.requires_grad]
    return [out.detach().float() for out in outs], grads


def error(ours, theirs):
    """The relative error of all tensors together."""
    a, b = (torch.cat([t.cpu().flatten() for t in x]) for x in (ours, theirs))
    return float((a - b).norm() / b.norm())
