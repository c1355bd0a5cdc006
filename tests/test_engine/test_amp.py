from types import SimpleNamespace

import mmcv
import pytest
import torch
from mmengine.optim import AmpOptimWrapper
from mmengine.registry import MODELS, RUNNERS
from torch import nn

from mmvovnet.engine import Bfloat16Hook, CPUAmpOptimWrapper, amp

from . import toy
from .test_runner import on_cpu

BOXES = torch.tensor([[0.0, 0, 0, 8, 8]])
OPS = {
    'RoI align': (lambda: mmcv.ops.RoIAlign(7), (BOXES,)),
    'DCN': (lambda: mmcv.ops.DeformConv2dPack(4, 4, 3, padding=1), ()),
    'DCNv2': (
        lambda: mmcv.ops.ModulatedDeformConv2dPack(4, 4, 3, padding=1),
        (),
    ),
}


class Op(nn.Module):
    """Like mmcv's compiled ops: knows float32 alone."""

    __module__ = 'mmcv.ops.op'

    def forward(self, x, rois):
        assert x.dtype == rois.dtype == torch.float32
        assert not torch.is_autocast_enabled('cpu')
        return x


class Head(nn.Conv2d):
    def loss(self):
        raise NotImplementedError


@MODELS.register_module()
class Precise(toy.Toy):
    """Notes the precision of its parts."""

    def __init__(self):
        super().__init__(drop=0.0)
        self.op = Op()
        self.head = Head(1, 1, 1)

    def forward(self, inputs, mode):
        maps = self.layers(inputs)
        outputs = self.head(self.op(maps, maps))
        self.seen = maps.dtype, self.op(maps, maps).dtype, outputs.dtype
        return dict(loss=outputs.square().mean())


@on_cpu
def test_trains_in_bfloat16_and_keeps_float32(tmp_path):
    cfg = toy.config(tmp_path, drop=0.0, wrapper='AmpOptimWrapper')
    cfg['optim_wrapper'].update(loss_scale='dynamic', dtype='float16')
    cfg['train_cfg']['max_epochs'] = 1
    cfg |= dict(model=dict(type='Precise'), experiment_name=tmp_path.name)
    runner = RUNNERS.build(cfg)
    model = runner.train()
    assert type(runner.optim_wrapper) is CPUAmpOptimWrapper
    assert 'loss_scaler' not in runner.optim_wrapper.state_dict()
    assert model.seen == (torch.bfloat16, torch.bfloat16, torch.float32)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ('native', 'said'),
    [(True, 'in bfloat16 by autocast'), (False, 'slower than in float32')],
)
def test_says_what_the_cpu_lacks(native, said, monkeypatch):
    messages = []
    monkeypatch.setattr(amp, 'has_bfloat16', lambda: native)
    monkeypatch.setattr(
        amp, 'print_log', lambda text, _: messages.append(text)
    )
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    CPUAmpOptimWrapper(optimizer=optimizer)
    assert said in ''.join(messages)


@pytest.mark.parametrize('size', [(1, 1), (2, 1), (1, 16), (2, 2)])
@pytest.mark.parametrize('kernel', [3, 5])
def test_gradients_of_convs_wider_than_their_map_are_right(kernel, size):
    """torch 2.14.1 leaves uninitialised memory in them."""
    conv = nn.Conv2d(16, 16, kernel, 2, kernel // 2)
    x = torch.rand(2, 16, *size)
    conv(x).square().sum().backward()
    expected, conv.weight.grad = conv.weight.grad, None
    wrapper = CPUAmpOptimWrapper(
        optimizer=torch.optim.SGD(conv.parameters(), 0.1)
    )
    Bfloat16Hook().before_train(
        SimpleNamespace(model=nn.Sequential(conv), optim_wrapper=wrapper)
    )
    waste = [torch.full((2**n,), torch.nan) for n in range(8, 22)]
    del waste  # memory to be found
    with wrapper.optim_context(conv):
        conv(x).float().square().sum().backward()
    torch.testing.assert_close(
        conv.weight.grad, expected, rtol=0.02, atol=0.02
    )


def prepare(model, dtype='bfloat16'):
    weight = nn.Parameter(torch.zeros(1))
    wrapper = AmpOptimWrapper(
        optimizer=torch.optim.SGD([weight], 0.1), dtype=dtype
    )
    Bfloat16Hook().before_train(
        SimpleNamespace(model=model, optim_wrapper=wrapper)
    )


@pytest.fixture
def amp_without_a_gpu(monkeypatch):
    pytest.importorskip('mmdet', reason='mmdet is not installed')
    pytest.importorskip('mmcv.ops', reason='mmcv has no ops')
    monkeypatch.setattr(
        'mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available',
        lambda: True,
    )


@pytest.mark.parametrize('name', OPS)
def test_ops_that_know_no_bfloat16_run(name, amp_without_a_gpu):
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
    torch.testing.assert_close(out, expected.bfloat16())


def test_focal_loss_gets_float32(monkeypatch, amp_without_a_gpu):
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


def test_other_precisions_are_left_alone(amp_without_a_gpu):
    op = mmcv.ops.RoIAlign(7)
    prepare(op, 'float16')
    assert not op._forward_pre_hooks


def test_an_error_inside_leaves_autocast_as_it_was(amp_without_a_gpu):
    op = mmcv.ops.RoIAlign(7)
    prepare(op)
    with torch.autocast('cpu', torch.bfloat16):
        with pytest.raises(AssertionError):
            op(torch.rand(1, 4, 16, 16), torch.rand(1, 3))
        assert torch.is_autocast_enabled('cpu')
