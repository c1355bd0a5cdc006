import os
import signal
from unittest.mock import Mock, patch

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, RUNNERS

from mmvovnet.engine import EpochBasedTrainLoop, InterruptHook, interrupt
from mmvovnet.engine.interrupt import AGREE_EVERY, SIGNALS
from mmvovnet.weights import load

from . import toy


@HOOKS.register_module()
class TellInValidation(Hook):
    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)


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


@pytest.fixture
def train(tmp_path):
    """Trains the toy without and with an interruption; the final weights."""

    def train(number, at, **options):
        def state(name, **changes):
            cfg = toy.config(tmp_path / name)
            cfg['optim_wrapper'] |= options
            cfg |= dict(experiment_name=f'{tmp_path.name}-{name}-{changes}')
            return RUNNERS.build(cfg | changes).train().state_dict()

        kill = dict(type='Kill', at=at, by=number)
        with pytest.raises(SystemExit):
            state('stopped', custom_hooks=[kill])
        meta = load(tmp_path / 'stopped' / 'interrupted.pth')['meta']
        return meta, state('whole'), state('stopped', resume=True)

    return train


def test_accumulated_gradients_are_not_lost(train):
    meta, whole, resumed = train('SIGTERM', 4, accumulative_counts=3)
    assert (meta['epoch'], meta['iter']) == (1, 6)
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)


def test_without_seeds_the_result_would_differ(train, monkeypatch):
    """So that tests of equality have something to find."""
    monkeypatch.setattr(interrupt, 'seeded', lambda batches, *_: batches)
    _, whole, resumed = train('SIGTERM', 5)
    assert not all(torch.equal(resumed[key], whole[key]) for key in whole)


def test_other_processes_share_the_rest_of_an_epoch():
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    runner = Mock(_resume=True, train_loop=loop)
    place = dict(batch=6, processes=2)
    checkpoint = dict(meta=dict(interrupted=place))
    InterruptHook().after_load_checkpoint(runner, checkpoint)
    assert loop.start == 12
    said = runner.logger.warning.call_args.args[0]
    assert said.startswith('2 processes began this epoch and 1 go on')
