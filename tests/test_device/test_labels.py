"""A step of every config on a labelled device: see :mod:`.labels`."""

import pytest
import torch
from mmengine.optim import OptimWrapper

from .labels import GPU, Labelled, label, labelled_device
from .narrow import build, configs

# How often the host waits, in a training step and in a prediction. Lower them
# with the code; they are those of mmdet's own heads for fcos.
WAITS = {
    'centermask-lite_vovnet19-ese_fpn_ms-4x_coco': (65, 31),
    'fcos_vovnet39_fpn_1x_coco': (4, 30),
    'refinedet320_vovnet27-slim_400k_coco': (110, 8),
    'ssd300_vovnet27-slim_120e_coco': (38, 28),
    'vovnet39_8xb32_in1k': (0, 0),
}


def count(path, monkeypatch):
    model, batch = build(path, monkeypatch)
    label(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = OptimWrapper(torch.optim.SGD(trained, 1e-6, foreach=False))
    with labelled_device() as waits:
        losses = model.train().train_step(batch(), optimizer)
        training = waits.copy()
        waits.clear()
        with torch.no_grad():
            model.eval().test_step(batch())
        return losses, training, waits.copy()


@pytest.mark.parametrize('path', configs())
def test_no_op_mixes_devices(path, monkeypatch):
    losses, *waits = count(path, monkeypatch)
    assert all(isinstance(loss, Labelled) for loss in losses.values())
    for found, recorded in zip(waits, WAITS.get(path.stem, ()), strict=False):
        assert found.total() <= recorded, found.most_common(5)


def test_what_cuda_refuses_is_refused():
    with labelled_device():
        x = torch.ones(3).to(GPU)
        for mixed in (
            lambda: x + torch.ones(3),
            lambda: torch.ones(3)[x.long()],
            lambda: torch.cat([x, torch.ones(3)]),
        ):
            with pytest.raises(RuntimeError, match='mixes'):
                mixed()
        with pytest.raises(TypeError, match='numpy'):
            x.numpy()
        assert (x + torch.tensor(1.0)).device == GPU  # a number


@pytest.mark.parametrize(
    ('wait', 'times'),
    [
        (lambda x: x.sum().item(), 1),
        (lambda x: float(x[0]) + float(x[1]), 2),
        (lambda x: x[x > 1], 1),
        (lambda x: x.nonzero(), 1),
        (lambda x: x.cpu(), 1),
        (lambda x: x.tolist(), 1),
        (lambda x: torch.where(x > 1, x, 0 * x), 0),
        (lambda x: x.masked_fill(x > 1, 0.0), 0),
        (lambda x: x[[0, 2]] * 2, 0),
    ],
)
def test_waits_are_counted(wait, times):
    with labelled_device() as waits:
        x = torch.tensor([1.0, 2.0, 3.0], device=GPU)
        waits.clear()
        wait(x)
        assert waits.total() == times
