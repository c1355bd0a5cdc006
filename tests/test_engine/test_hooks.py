import itertools
from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock, patch

import numpy as np
import pytest
import torch
from mmengine.dataset import worker_init_fn
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from mmvovnet import VoVNet
from mmvovnet.engine import DistSamplerSeedHook


def test_takes_the_place_of_mmengines_hook():
    assert HOOKS.get('DistSamplerSeedHook') is DistSamplerSeedHook


def test_every_iteration_has_a_seed_of_its_own():
    def drawn(seed, steps):
        loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
        loop.dataloader = Mock()
        loop.dataloader_iterator = itertools.count()  # without an end
        runner = stub(seed=seed, iter=0)
        runner.train_loop = loop
        DistSamplerSeedHook().before_train_epoch(runner)
        return [
            (batch, np.random.rand(), float(torch.rand(())))
            for batch in itertools.islice(loop.dataloader_iterator, steps)
        ]

    first = drawn(7, 4)
    assert [batch for batch, *_ in first] == [0, 1, 2, 3]
    assert len({value for _, *values in first for value in values}) == 8
    assert drawn(7, 4) == first
    assert not set(drawn(8, 4)) & set(first)


def stub(worker_init_fn=None, **attributes):
    """A runner as far as DistSamplerSeedHook looks."""
    loader = DataLoader(range(4), worker_init_fn=worker_init_fn)
    return SimpleNamespace(
        train_dataloader=loader,
        train_loop=SimpleNamespace(dataloader=loader),
        logger=Mock(),
        **dict(seed=7, epoch=0, iter=0) | attributes,
    )


def test_workers_draw_anew_each_epoch_and_on_each_rank():
    runner = stub(partial(worker_init_fn, num_workers=2, rank=0, seed=7))
    drawn = set()
    for runner.iter in (0, 4, 8):
        DistSamplerSeedHook().before_train_epoch(runner)
        for rank in (0, 1):
            runner.train_dataloader.worker_init_fn(0, rank=rank)
            drawn.add(np.random.rand())
    assert len(drawn) == 6


def test_leaves_the_users_worker_init_fn_alone():
    runner = stub(print)
    DistSamplerSeedHook().before_train_epoch(runner)
    assert runner.train_dataloader.worker_init_fn is print


@pytest.mark.parametrize(
    'step, persistent, warns', [(8, True, 1), (8, False, 0), (0, True, 0)]
)
def test_warns_of_persistent_workers(step, persistent, warns):
    runner = stub(iter=step)
    runner.train_dataloader = SimpleNamespace(persistent_workers=persistent)
    DistSamplerSeedHook().before_train(runner)
    assert runner.logger.warning.call_count == warns


def test_channels_last():
    hook = HOOKS.build(dict(type='mmvovnet.ChannelsLastHook'))
    model = VoVNet('V-19-slim-eSE', out_indices=(1,)).eval()
    x = torch.rand(1, 3, 32, 32)
    before = model(x)[0]
    assert before.is_contiguous()
    hook.before_run(SimpleNamespace(model=model))
    after = model(x)[0]
    assert after.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_channels_last_refuses_ops_that_it_breaks():
    ops = pytest.importorskip('mmcv.ops', reason='mmcv has no ops')
    hook = HOOKS.build(dict(type='mmvovnet.ChannelsLastHook'))
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 1), ops.RoIAlign(7))
    with pytest.raises(ValueError, match="'1' is a RoIAlign"):
        hook.before_run(SimpleNamespace(model=model))
    assert model[0].weight.is_contiguous()


def test_channels_last_leaves_group_norms_alone():
    hook = HOOKS.build(dict(type='mmvovnet.ChannelsLastHook'))
    model = torch.nn.ModuleDict(
        dict(
            backbone=torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)),
            head=torch.nn.Sequential(
                torch.nn.Conv2d(8, 8, 3), torch.nn.GroupNorm(2, 8)
            ),
        )
    )
    with patch('mmvovnet.engine.hooks.print_log') as log:
        hook.before_run(SimpleNamespace(model=model))
    assert 'leaves head in the usual order' in log.call_args[0][0]
    log.assert_called_once()
    assert not model.backbone[0].weight.is_contiguous()
    assert model.head[0].weight.is_contiguous()
