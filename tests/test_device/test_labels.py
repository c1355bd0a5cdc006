"""A step of every config on a labelled device: see :mod:`.labels`."""

from functools import cache

import pytest
import torch
from mmengine.optim import OptimWrapper

from ..test_configs.files import CONFIGS
from .labels import GPU, Labelled, label, labelled_device
from .narrow import build, configs

# How often the host waits, in a training step and in a prediction. Lower them
# with the code. FCOS, SSD and Mask R-CNN have mmdet's own heads.
WAITS = {
    'centermask-lite_vovnet19-ese_fpn_ms-4x_coco': (59, 31),
    'fcos_vovnet39_fpn_1x_coco': (4, 30),
    'mask-rcnn_vovnet39-ese_fpn_ms-3x_coco': (84, 20),
    'refinedet320_vovnet27-slim_400k_coco': (12, 4),
    'ssd300_vovnet27-slim_120e_coco': (38, 28),
    'vovnet39_8xb32_in1k': (0, 0),
}


@cache
def count(path):
    """The losses of a step, and the waits of it and of a prediction."""
    with pytest.MonkeyPatch.context() as patch:
        model, batch = build(path, patch)
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
def test_no_op_mixes_devices(path):
    losses, *waits = count(path)
    assert all(isinstance(loss, Labelled) for loss in losses.values())
    for found, recorded in zip(waits, WAITS.get(path.stem, ()), strict=False):
        assert found.total() <= recorded, found.most_common(5)


@pytest.mark.parametrize(
    ('ours', 'stock'),
    [
        ('refinedet320_vovnet27-slim_400k', 'ssd300_vovnet27-slim_120e'),
        pytest.param(
            'centermask-lite_vovnet19-ese_fpn_ms-4x',
            'mask-rcnn_vovnet39-ese_fpn_ms-3x',
            marks=pytest.mark.slow,
        ),
    ],
)
def test_training_waits_no_more_often_than_with_stock_heads(ours, stock):
    ours, stock = (
        count(next(p for p in CONFIGS if p.stem == f'{stem}_coco'))[1].total()
        for stem in (ours, stock)
    )
    assert ours <= stock


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
