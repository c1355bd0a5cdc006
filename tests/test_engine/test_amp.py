import pytest
import torch
from mmengine.registry import MODELS, RUNNERS
from torch import nn

from mmvovnet.engine import CPUAmpOptimWrapper, amp

from . import toy
from .test_runner import on_cpu


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
    assert not any('forward' in vars(part) for part in model.modules())


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
