"""torchrun's restarts, after a process was killed."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import RUNNERS

from mmvovnet.weights import load

from . import toy

PLACES = ['start', 'train', 'val', 'save', 'twice']


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """The weights of an uninterrupted training."""
    folder = tmp_path_factory.mktemp('whole')
    return RUNNERS.build(toy.config(folder, drop=0.0)).train().state_dict()


def torchrun(nodes, folder, *options):
    """Train by two processes, on as many nodes as one can be taken for.

    Returns the exit code of each node's torchrun, and what it said.
    """
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    command = [
        *(sys.executable, '-m', 'torch.distributed.run'),
        *(f'--nnodes={nodes}', f'--nproc_per_node={2 // nodes}'),
        *('--rdzv-backend=c10d', f'--rdzv-endpoint=127.0.0.1:{port}'),
        *('--local-addr=127.0.0.1', '--max-restarts=3'),
        *(toy.__file__, str(folder), *options),
    ]
    env = os.environ | dict(CUDA_VISIBLE_DEVICES='-1')
    logs = [folder / f'{node}.log' for node in range(nodes)]
    agents = [
        subprocess.Popen(command, env=env, stderr=log.open('w'))
        for log in logs
    ]
    codes = [agent.wait(timeout=500) for agent in agents]
    return codes, [log.read_text() for log in logs]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize('nodes', [1, 2])
@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('rank', ['0', '1'])
def test_ends_with_the_weights_of_the_uninterrupted(
    tmp_path, whole, rank, place, nodes
):
    codes, said = torchrun(nodes, tmp_path, rank, place)
    assert codes == [0] * nodes, said
    deaths = list(Path(tmp_path, 'distributed').glob('death-*'))
    assert len(deaths) == (2 if place == 'twice' else 1)
    state = load(tmp_path / 'distributed' / 'epoch_3.pth')['state_dict']
    torch.testing.assert_close(state, whole, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fsdp(tmp_path, whole):
    codes, said = torchrun(1, tmp_path, '1', 'train', 'FSDPStrategy')
    assert codes == [0], said
    assert Path(tmp_path, 'distributed', 'death-0').exists()
    state = load(tmp_path / 'distributed' / 'epoch_3.pth')['state_dict']
    torch.testing.assert_close(state, whole, rtol=0, atol=1e-6)
