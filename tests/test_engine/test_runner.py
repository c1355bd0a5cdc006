import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from unittest.mock import patch

import mmengine.runner
import pytest
import torch
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS, MODELS, RUNNERS
from torch import distributed, nn

from mmvovnet.engine import processes
from mmvovnet.engine.processes import init_gloo
from mmvovnet.weights import load

from . import toy

on_cpu = pytest.mark.skipif(
    get_device() != 'cpu', reason='is about machines without an accelerator'
)


@MODEL_WRAPPERS.register_module()
class OwnWrapper(MMDistributedDataParallel):
    pass


@MODELS.register_module()
class SyncBNToy(toy.Toy):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.SyncBatchNorm(8)


def test_two_processes_equal_one_with_twice_the_batch(trained):
    single, distributed = (
        load(trained / name / 'epoch_3.pth')
        for name in ('single', 'distributed')
    )
    torch.testing.assert_close(
        distributed['state_dict'], single['state_dict'], rtol=0, atol=1e-6
    )
    first = load(trained / 'single' / 'epoch_1.pth')['state_dict']
    moved = single['state_dict']['layers.0.weight'] - first['layers.0.weight']
    assert moved.abs().max() > 1e-3


def test_all_ranks_end_equal(trained):
    first, second = (load(trained / f'{rank}.pth') for rank in (0, 1))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


LAUNCHERS = {
    'pytorch': dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0'),
    'slurm': dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_LOCALID='0'),
    'mpi': dict(
        OMPI_COMM_WORLD_RANK='0',
        OMPI_COMM_WORLD_SIZE='1',
        OMPI_COMM_WORLD_LOCAL_RANK='0',
    ),
}


@pytest.fixture
def build(tmp_path):  # in the place of the one for all files
    """Builds a distributed runner of one process, in this process."""

    def build(launcher='pytorch', **changes):
        cfg = toy.config(tmp_path, drop=0.0) | changes
        cfg |= dict(launcher=launcher, experiment_name=tmp_path.name)
        address = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT='0')
        with patch.dict(os.environ, LAUNCHERS[launcher] | address):
            return RUNNERS.build(cfg)

    yield build
    if distributed.is_initialized():
        distributed.destroy_process_group()


@on_cpu
@pytest.mark.parametrize('launcher', LAUNCHERS)
def test_every_launcher(build, launcher):
    init = distributed.init_process_group
    with patch.object(distributed, 'init_process_group', wraps=init) as init:
        dist_cfg = dict(backend='nccl', timeout=90)
        runner = build(launcher, env_cfg=dict(dist_cfg=dist_cfg))
    assert init.call_args.args == ('gloo',)
    assert init.call_args.kwargs['timeout'] == timedelta(seconds=90)
    assert (runner.rank, runner.world_size) == (0, 1)
    assert type(runner.model) is MMDistributedDataParallel
    assert runner.model.device_ids is None


def test_slurm_without_an_address(tmp_path):
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text('#!/bin/sh\necho "$3-1\n$3-2"\n')
    scontrol.chmod(0o755)
    path = f'{tmp_path}:{os.environ["PATH"]}'
    env = LAUNCHERS['slurm'] | dict(SLURM_NODELIST='node', PATH=path)
    with (
        patch.dict(os.environ, env),
        patch.object(distributed, 'init_process_group'),
        patch('mmvovnet.engine.processes.meeting', return_value={}),
    ):
        init_gloo('slurm', dict(port=1234))
        assert os.environ['MASTER_ADDR'] == 'node-1'
        assert os.environ['MASTER_PORT'] == '1234'


RANKS = {
    'pytorch': ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'),
    'slurm': ('SLURM_PROCID', 'SLURM_LOCALID', 'SLURM_NTASKS'),
    'mpi': (
        'OMPI_COMM_WORLD_RANK',
        'OMPI_COMM_WORLD_LOCAL_RANK',
        'OMPI_COMM_WORLD_SIZE',
    ),
}


@pytest.mark.parametrize('launcher', RANKS)
def test_ranks_are_those_of_the_launcher(launcher):
    given = dict(zip(RANKS[launcher], ('5', '1', '8'), strict=True))
    with (
        patch.dict(os.environ, given | dict(MASTER_ADDR='node-1')),
        patch.object(distributed, 'init_process_group'),
        patch('mmvovnet.engine.processes.meeting', return_value={}),
    ):
        init_gloo(launcher, {})
        found = [os.environ[name] for name in RANKS['pytorch']]
    assert found == ['5', '1', '8']


@pytest.mark.parametrize(
    ('env', 'dist_cfg', 'port'),
    [
        (dict(MASTER_PORT='1111'), dict(port=2222), '2222'),
        (dict(MASTER_PORT='1111'), {}, '1111'),
        ({}, {}, '29500'),
    ],
)
def test_the_port_of_the_config_comes_first(env, dist_cfg, port, monkeypatch):
    monkeypatch.setenv('MASTER_PORT', '')  # put back what is there now
    monkeypatch.delenv('MASTER_PORT')
    with (
        patch.dict(os.environ, LAUNCHERS['pytorch'] | env),
        patch.object(distributed, 'init_process_group'),
        patch('mmvovnet.engine.processes.meeting', return_value={}),
    ):
        init_gloo('pytorch', dist_cfg)
        assert os.environ['MASTER_PORT'] == port


def test_waits_for_the_others_for_a_while(monkeypatch):
    address = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT='0', WORLD_SIZE='2')
    monkeypatch.setattr(processes, 'JOIN_TIMEOUT', 1)
    with (
        patch.dict(os.environ, LAUNCHERS['pytorch'] | address),
        pytest.raises(RuntimeError, match='process 0 of 2 waited 1 s'),
    ):
        processes.meeting()


def test_a_new_group_takes_no_name_of_a_dead_one():
    """One store serves all, as torchrun's does."""
    server = distributed.TCPStore('127.0.0.1', 0, is_master=True)
    clients = [
        distributed.TCPStore('127.0.0.1', server.port, is_master=False)
        for _ in range(3)
    ]
    names = []
    with ThreadPoolExecutor() as pool:
        for _ in range(3):
            others = [
                pool.submit(processes._agree, clients[rank], rank, 3)
                for rank in (1, 2)
            ]
            names.append(processes._agree(clients[0], 0, 3))
            assert {other.result() for other in others} == {names[-1]}
    assert len(set(names)) == 3


@on_cpu
def test_wrapper_of_the_config(build):
    model = build(find_unused_parameters=True).model
    assert model.find_unused_parameters and not model.broadcast_buffers


@on_cpu
@pytest.mark.parametrize(
    'wrapper, expected',
    [
        ('MMDistributedDataParallel', MMDistributedDataParallel),
        ('OwnWrapper', OwnWrapper),
    ],
)
def test_explicit_model_wrapper_cfg(build, wrapper, expected):
    cfg = dict(type=wrapper, detect_anomalous_params=True)
    model = build(model_wrapper_cfg=cfg).model
    assert type(model) is expected and model.detect_anomalous_params
    assert model.device_ids is None


@on_cpu
def test_sync_bn_is_refused(build):
    with pytest.raises(ValueError, match='SyncBatchNorm layers only work'):
        build(model=dict(type='SyncBNToy'))


@on_cpu
def test_scope_of_mmdet(build):
    pytest.importorskip('mmdet.registry')
    runner = build(default_scope='mmdet')
    assert type(runner.model) is MMDistributedDataParallel


def test_accelerators_are_left_to_mmengine(build):
    wrap_model = patch.object(mmengine.runner.Runner, 'wrap_model')
    with (
        patch('mmvovnet.engine.runner.get_device', return_value='cuda'),
        patch('mmengine.runner.runner.init_dist') as init_dist,
        wrap_model as wrap_model,
    ):
        build(env_cfg=dict(dist_cfg=dict(backend='nccl')))
    assert init_dist.call_args.args == ('pytorch',)
    given = init_dist.call_args.kwargs
    assert given.pop('store').num_keys()
    assert given == dict(backend='nccl', rank=0, world_size=1)
    assert wrap_model.call_args.args[0] is None


def test_a_misspelt_setting_is_said(tmp_path):
    cfg = toy.config(tmp_path) | dict(load_form='x.pth', check_dat=False)
    cfg |= dict(experiment_name=tmp_path.name, train_pipeline=[], classes=())
    with patch.object(MMLogger, 'warning') as warning:
        RUNNERS.build(cfg)
    texts = [str(call.args[0]) for call in warning.call_args_list]
    assert sorted(text for text in texts if 'no setting' in text) == [
        f"'{key}' of the config is no setting of a run: is '{near}' meant?"
        for key, near in (
            ('check_dat', 'check_data'),
            ('load_form', 'load_from'),
        )
    ]


@pytest.mark.parametrize('by_epoch', [True, False])
def test_resuming_with_another_schedule_is_said(tmp_path, by_epoch):
    def said(**changes):
        cfg = toy.config(tmp_path, by_epoch) | dict(resume=True)
        cfg['experiment_name'] = f'{tmp_path.name}-{changes}'
        for key, value in changes.items():
            cfg[key] = value if isinstance(value, list) else cfg[key] | value
        runner = RUNNERS.build(cfg)
        with patch.object(runner.logger, 'warning') as warning:
            runner.train()
        length = runner.max_epochs if by_epoch else runner.max_iters
        assert (runner.epoch if by_epoch else runner.iter) == length
        texts = [call.args[0] for call in warning.call_args_list]
        return [text for text in texts if 'schedule' in text]

    unit, end = ('max_epochs', 3) if by_epoch else ('max_iters', 12)
    assert not said()
    assert not said()
    longer = said(train_cfg={unit: end + 1})  # which counts
    assert len(longer) == by_epoch  # as the rate falls by epochs
    assert all('[0].end is 3 there and 4 here' in text for text in longer)
    (text,) = said(
        train_cfg={unit: end + 2},
        param_scheduler=[dict(type='ExponentialLR', gamma=0.1)],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.02)),
    )
    assert 'ExponentialLR[0].gamma is 0.5 there and 0.1 here' in text
    assert 'base_values is [0.01] there and [0.02] here' in text
    assert unit not in text
    assert 'load_from=' in text and 'without --resume' in text


@pytest.mark.parametrize('compiled', [True, False], ids=['into', 'out of'])
def test_a_checkpoint_of_a_compiled_part(tmp_path, compiled):
    """It resumes where that is compiled too, and loads where it is not."""
    runner = RUNNERS.build(toy.config(tmp_path))
    state = runner.model.state_dict()
    saved = {
        k.replace('layers.', 'layers._orig_mod.'): torch.full_like(v, 3)
        for k, v in state.items()
    }
    torch.save(dict(state_dict=saved, meta={}), tmp_path / 'a.pth')
    if compiled:
        runner.model.layers = torch.compile(runner.model.layers)
    runner.load_checkpoint(str(tmp_path / 'a.pth'), 'cpu')
    assert all((v == 3).all() for v in runner.model.state_dict().values())
