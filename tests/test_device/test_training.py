import shutil

import pytest
import torch
from mmengine.device import get_device
from mmengine.registry import RUNNERS

from ..test_engine import toy
from .conftest import error, images, step, tiny

EPS = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
WAYS = {
    'plain': {},
    'memory_efficient': dict(memory_efficient=True),
    'with_cp': dict(with_cp=True),
    'both': dict(memory_efficient=True, with_cp=True),
}


@pytest.mark.parametrize('dtype', EPS, ids=str)
@pytest.mark.parametrize(
    'layout', [torch.contiguous_format, torch.channels_last], ids=str
)
@pytest.mark.parametrize('way', WAYS)
def test_step(device, way, layout, dtype):
    """Outputs are those of float32 on a CPU, gradients those of plain."""
    model = tiny(device, **WAYS[way]).to(memory_format=layout)
    x = images(device).contiguous(memory_format=layout)
    outs, grads = step(model, x, dtype)
    assert error(outs, step(tiny(), images())[0]) < EPS[dtype]
    plain = tiny(device).to(memory_format=layout)
    assert error(grads, step(plain, x, dtype)[1]) < EPS[dtype]
    torch.testing.assert_close(
        dict(model.named_buffers()),
        dict(plain.named_buffers()),
        rtol=EPS[dtype],
        atol=EPS[dtype],
    )


def test_grad_scaler(device):
    model, losses = tiny(device, memory_efficient=True), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler(device, init_scale=1024.0)
    for _ in range(4):
        optimizer.zero_grad()
        with torch.autocast(device, torch.float16):
            loss = sum(
                o.float().square().mean() for o in model(images(device))
            )
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(float(loss))
    assert losses[-1] < losses[0]


def test_resume_is_exact(device, tmp_path):
    """With dropout, so that the device's own generator is resumed too."""
    if device != get_device():
        pytest.skip('mmengine takes the GPU')
    whole = RUNNERS.build(toy.config(tmp_path / 'whole')).train()
    resumed = tmp_path / 'resumed'
    resumed.mkdir()
    shutil.copy(tmp_path / 'whole' / 'epoch_1.pth', resumed)
    (resumed / 'last_checkpoint').write_text(f'{resumed}/epoch_1.pth')
    cfg = toy.config(resumed) | dict(resume=True, experiment_name='resumed')
    torch.testing.assert_close(
        RUNNERS.build(cfg).train().state_dict(),
        whole.state_dict(),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.cuda
@pytest.mark.parametrize('way', WAYS)
def test_graphed(way):
    x = images('cuda')
    expected = step(tiny('cuda', **WAYS[way]), x)
    model = tiny('cuda', **WAYS[way])
    graphed = torch.cuda.make_graphed_callables(model, (x.clone(),))
    model.zero_grad()
    found = step(graphed, x)
    assert error(found[0], expected[0]) < 1e-4
    assert error(found[1], expected[1]) < 1e-4
