import pytest
import torch
from mmengine.registry import MODELS, RUNNERS

from mmvovnet.engine import CPUAmpOptimWrapper, amp

from . import toy
from .test_runner import on_cpu


@MODELS.register_module()
class Precise(toy.Toy):
    """Says in which precision its convs and its loss are."""

    def forward(self, inputs, mode):
        outputs = self.layers(inputs)
        loss = super().forward(inputs, mode)['loss']
        self.seen = outputs.dtype, loss.dtype
        return dict(loss=loss)


def runner_of(folder, **wrapper):
    cfg = toy.config(folder, drop=0.0, wrapper='AmpOptimWrapper')
    cfg['optim_wrapper'].update(wrapper)
    cfg['model'] = dict(type='Precise')
    cfg['train_cfg']['max_epochs'] = 1
    return RUNNERS.build(cfg | dict(experiment_name=folder.name))


@on_cpu
def test_trains_in_bfloat16_and_keeps_float32(tmp_path):
    runner = runner_of(tmp_path, loss_scale='dynamic', dtype='float16')
    model = runner.train()
    assert type(runner.optim_wrapper) is CPUAmpOptimWrapper
    assert model.seen == (torch.bfloat16, torch.float32)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert 'loss_scaler' not in runner.optim_wrapper.state_dict()


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
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    CPUAmpOptimWrapper(optimizer=optimizer)
    assert said in ''.join(messages)
