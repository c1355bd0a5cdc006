from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import AmpOptimWrapper
from torch import nn

from mmvovnet.registry import HOOKS

pytest.importorskip('mmdet', reason='mmdet is not installed')
ops = pytest.importorskip('mmcv.ops', reason='mmcv has no ops')

BOXES = torch.tensor([[0.0, 0, 0, 8, 8]])
OPS = {
    'RoI align': (lambda: ops.RoIAlign(7), (BOXES,)),
    'DCN': (lambda: ops.DeformConv2dPack(4, 4, 3, padding=1), ()),
    'DCNv2': (lambda: ops.ModulatedDeformConv2dPack(4, 4, 3, padding=1), ()),
}


def prepare(model, dtype='bfloat16'):
    weight = nn.Parameter(torch.zeros(1))
    wrapper = AmpOptimWrapper(
        optimizer=torch.optim.SGD([weight], 0.1), dtype=dtype
    )
    HOOKS.build(dict(type='mmvovnet.Bfloat16Hook')).before_train(
        SimpleNamespace(model=model, optim_wrapper=wrapper)
    )


@pytest.fixture(autouse=True)
def amp_without_a_gpu(monkeypatch):
    monkeypatch.setattr(
        'mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available',
        lambda: True,
    )


@pytest.mark.parametrize('name', OPS)
def test_ops_that_know_no_bfloat16_run(name):
    build, rest = OPS[name]
    torch.manual_seed(0)
    op = build()
    x = torch.rand(1, 4, 16, 16).bfloat16()
    expected = op(x.float(), *rest)
    with torch.autocast('cpu', torch.bfloat16):
        with pytest.raises(RuntimeError, match='BFloat16'):
            op(x, *[r.bfloat16() for r in rest])
        prepare(nn.Sequential(op))
        out = op(x, *[r.bfloat16() for r in rest])
        assert torch.is_autocast_enabled('cpu')
    torch.testing.assert_close(out, expected)


def test_focal_loss_gets_float32(monkeypatch):
    from mmdet.models.losses import FocalLoss, focal_loss

    seen = []

    def refuses(pred, target, *args, **kwargs):
        seen.append(pred.dtype)
        return pred.sum()

    monkeypatch.setattr(focal_loss, 'py_sigmoid_focal_loss', refuses)
    loss = FocalLoss()
    args = torch.rand(4, 3).bfloat16(), torch.tensor([0, 1, 2, 3])
    loss(*args)
    prepare(nn.Sequential(loss))
    loss(*args)
    assert seen == [torch.bfloat16, torch.float32]


def test_other_precisions_are_left_alone():
    op = ops.RoIAlign(7)
    prepare(op, 'float16')
    assert not op._forward_pre_hooks


def test_an_error_inside_leaves_autocast_as_it_was():
    op = ops.RoIAlign(7)
    prepare(op)
    with torch.autocast('cpu', torch.bfloat16):
        with pytest.raises(AssertionError):
            op(torch.rand(1, 4, 16, 16), torch.rand(1, 3))
        assert torch.is_autocast_enabled('cpu')
