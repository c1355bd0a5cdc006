import itertools
import os
import shutil
import subprocess
import sys
from collections import deque
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock, patch

import mmengine.hooks
import numpy as np
import pytest
import torch
from mmengine.dataset import worker_init_fn
from mmengine.fileio import get_file_backend
from mmengine.registry import HOOKS, RUNNERS
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from mmvovnet import VoVNet
from mmvovnet.engine import CheckpointHook, DistSamplerSeedHook
from mmvovnet.weights import load

from . import toy


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The folder of what toy.py trained."""
    folder = tmp_path_factory.mktemp('trained')
    script = Path(toy.__file__)
    subprocess.run(
        [sys.executable, script, folder],
        check=True,
        env=os.environ | dict(CUDA_VISIBLE_DEVICES='-1'),  # it forks
    )
    return folder


def last(folder):
    """The last checkpoint of a run: its weights and its losses."""
    checkpoint = load((folder / 'last_checkpoint').read_text())
    history = checkpoint['message_hub']['log_scalars']['train/loss']
    assert len(history.data[0]) == toy.EPOCHS * toy.ITERS
    return checkpoint['state_dict'], history.data[0]


def assert_equal(first, second):
    (weights, losses), (other_weights, other_losses) = first, second
    torch.testing.assert_close(weights, other_weights, rtol=0, atol=1e-6)
    np.testing.assert_allclose(losses, other_losses, rtol=0, atol=1e-6)


def test_take_the_places_of_mmengines_hooks():
    assert HOOKS.get('CheckpointHook') is CheckpointHook
    assert HOOKS.get('DistSamplerSeedHook') is DistSamplerSeedHook


@pytest.mark.parametrize('case', [c for c in toy.CASES if 'stock' not in c])
@pytest.mark.parametrize('end', ['killed', 'told'])
def test_resumed_run_equals_an_uninterrupted_one(trained, case, end):
    assert_equal(
        last(trained / f'{case}-whole'), last(trained / f'{case}-{end}')
    )


def test_mmengines_own_hook_gives_another_result(trained):
    """So that the test above has something to find."""
    whole, killed = (
        last(trained / f'stock-0-{e}') for e in ('whole', 'killed')
    )
    assert np.abs(whole[1] - killed[1]).max() > 1e-3


def damage(path, size):
    if size is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:size])


def resume(folder):
    """Resume a copy of a finished run, and return what was logged."""
    cfg = dict(resume=True, experiment_name=folder.parent.name)
    RUNNERS.build(toy.config(folder) | cfg).train()
    return ''.join(p.read_text() for p in folder.glob('*/*.log'))


@pytest.fixture
def finished(trained, tmp_path):
    """A copy of a finished run, where ``last_checkpoint`` names its own."""
    folder = tmp_path / 'run'
    folder.mkdir()
    for path in (trained / 'epoch-0-whole').glob('epoch_*.pth'):
        shutil.copy(path, folder)
    (folder / 'last_checkpoint').write_text(f'{folder}/epoch_3.pth')
    return folder


@pytest.mark.parametrize('size', [None, 0, 2000])
def test_falls_back_to_the_checkpoint_before(trained, finished, size):
    damage(finished / 'epoch_3.pth', size)
    damage(finished / 'epoch_1.pth', 0)
    log = resume(finished)
    assert f"names '{finished}/epoch_3.pth', and the newest whole" in log
    assert f"'{finished}/epoch_2.pth': resuming from that" in log
    assert_equal(last(finished), last(trained / 'epoch-0-whole'))


@pytest.mark.parametrize(
    'named',
    [
        None,
        b'',
        b'\xff\x00',
        b'epoch_1.pth',
        b'/elsewhere/epoch_3.pth',
        b'{folder}/epoch_1.pth',
    ],
)
def test_work_dir_is_searched_whatever_the_pointer_says(finished, named):
    pointer = finished / 'last_checkpoint'
    if named is None:
        pointer.unlink()
    else:
        pointer.write_bytes(named.replace(b'{folder}', bytes(finished)))
    log = resume(finished)
    assert f"'{finished}/epoch_3.pth': resuming from that" in log
    assert pointer.read_text() == f'{finished}/epoch_3.pth'


def test_starts_from_scratch_if_none_is_whole(trained, finished):
    for path in finished.glob('*.pth'):
        damage(path, 2000)
    assert 'starts from scratch' in resume(finished)
    assert_equal(last(finished), last(trained / 'epoch-0-whole'))


def test_says_nothing_of_a_right_pointer(finished):
    assert 'resuming from that' not in resume(finished)


@pytest.mark.parametrize('named', ['s3://bucket/epoch_3.pth', 'a folder'])
def test_remote_and_sharded_checkpoints_are_not_judged(finished, named):
    pointer = finished / 'last_checkpoint'
    named = named if '://' in named else str(finished)
    pointer.write_text(named)
    runner = SimpleNamespace(
        work_dir=str(finished), _resume=True, _load_from=None, logger=Mock()
    )
    CheckpointHook().before_run(runner)
    assert pointer.read_text() == named
    runner.logger.warning.assert_not_called()


@pytest.mark.parametrize('sharded', [True, False])
def test_the_oldest_goes_after_the_newest_is_saved(tmp_path, sharded):
    """DeepSpeed's are folders."""
    oldest = tmp_path / 'epoch_1.pth'
    oldest.mkdir() if sharded else oldest.touch()
    hook = CheckpointHook(max_keep_ckpts=1)
    hook.keep_ckpt_ids = deque([1])
    hook.out_dir, hook.filename_tmpl = str(tmp_path), 'epoch_{}.pth'
    hook.file_backend = get_file_backend(str(tmp_path))
    with patch.object(
        mmengine.hooks.CheckpointHook,
        '_save_checkpoint_with_step',
        side_effect=lambda *_: oldest.stat(),
    ) as save:
        runner = SimpleNamespace(work_dir=str(tmp_path))
        hook._save_checkpoint_with_step(runner, 2, {})
    assert save.call_count == 1 and not oldest.exists()


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
