import os
import signal
from unittest.mock import Mock, patch

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, RUNNERS

from mmvovnet.engine import InterruptHook
from mmvovnet.engine.interrupt import AGREE_EVERY
from mmvovnet.engine.signals import SIGNALS
from mmvovnet.weights import load

from . import toy


@HOOKS.register_module()
class TellInValidation(Hook):
    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)


@pytest.fixture
def build(tmp_path):
    def build(**changes):
        name = dict(experiment_name=tmp_path.name)
        return RUNNERS.build(toy.config(tmp_path) | name | changes)

    return build


@pytest.mark.parametrize('number', SIGNALS)
def test_saves_and_exits_with_the_signals_number(tmp_path, build, number):
    before = signal.getsignal(number)
    kill = dict(type='Kill', at=1, by=number.name)
    with pytest.raises(SystemExit) as stop:
        build(custom_hooks=[kill]).train()
    assert stop.value.code == 128 + number
    assert signal.getsignal(number) is before
    meta = load(tmp_path / 'interrupted.pth')['meta']
    assert (meta['epoch'], meta['iter']) == (0, 2)
    assert meta['interrupted']['batch'] == 2


def test_next_checkpoint_takes_its_place(tmp_path, build):
    with pytest.raises(SystemExit):
        build(custom_hooks=[dict(type='Kill', at=1, by='SIGTERM')]).train()
    build(resume=True).train()
    names = sorted(path.name for path in tmp_path.glob('*.pth'))
    assert names == [f'epoch_{n}.pth' for n in (1, 2, 3)]


def test_processes_agree_every_ten_iterations():
    hook, stopped = InterruptHook(), []
    runner = Mock(optim_wrapper=Mock(should_update=lambda: True))
    path = 'mmvovnet.engine.interrupt.'
    with (
        patch(path + 'get_world_size', return_value=2),
        patch(path + 'all_reduce', lambda x, op: x.fill_(15)),
        patch.object(hook, '_stop', lambda r, *a: stopped.append(r.iter)),
    ):
        for runner.iter in range(20):
            hook.after_train_iter(runner, runner.iter)
    assert stopped[0] == AGREE_EVERY - 1


def test_third_interrupt_ends_at_once(build):
    kills = [dict(type='Kill', at=1, by='SIGINT')] * 3
    with pytest.raises(KeyboardInterrupt):
        build(custom_hooks=kills).train()


def test_validation_is_repeated(tmp_path, build):
    loader = toy.config(tmp_path)['train_dataloader']
    loader = loader | dict(sampler=dict(type='DefaultSampler', shuffle=False))
    validates = dict(val_dataloader=loader, val_cfg=dict(), val_evaluator=[])
    tells = dict(custom_hooks=[dict(type='TellInValidation')])
    with pytest.raises(SystemExit) as stop:
        build(**validates, **tells).train()
    assert stop.value.code == 128 + signal.SIGUSR1
    meta = load(tmp_path / 'interrupted.pth')['meta']
    assert (meta['epoch'], meta['iter']) == (1, toy.ITERS)
    runner = build(**validates, resume=True)
    epochs, run = [], runner.val_loop.run
    runner.val_loop.run = lambda: epochs.append(runner.epoch) or run()
    runner.train()
    assert epochs == [1, 2, 3]


def test_accumulated_gradients_are_not_lost(tmp_path):
    def train(name, **changes):
        cfg = toy.config(tmp_path / name) | changes
        cfg['optim_wrapper'] |= dict(accumulative_counts=3)
        runner = RUNNERS.build(cfg | dict(experiment_name=name))
        return runner.train().state_dict()

    whole = train('whole')
    with pytest.raises(SystemExit):
        train('told', custom_hooks=[dict(type='Kill', at=4, by='SIGTERM')])
    meta = load(tmp_path / 'told' / 'interrupted.pth')['meta']
    assert (meta['epoch'], meta['iter']) == (1, 6)
    resumed = train('told', resume=True)
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)
