"""torchrun's restarts, after a process was killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import RUNNERS

from mmvovnet.checkpoint import load

from . import toy


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """The weights of an uninterrupted training."""
    folder = tmp_path_factory.mktemp('whole')
    return RUNNERS.build(toy.config(folder, drop=0.0)).train().state_dict()


@pytest.mark.slow
@pytest.mark.parametrize('place', ['train', 'val', 'save'])
@pytest.mark.parametrize('rank', [0, 1])
def test_ends_with_the_weights_of_the_uninterrupted(
    tmp_path, whole, rank, place
):
    torchrun = [sys.executable, '-m', 'torch.distributed.run']
    options = ['--nproc_per_node=2', '--max-restarts=3', '--standalone']
    script = [Path(toy.__file__), tmp_path, str(rank), place]
    done = subprocess.run(
        [*torchrun, *options, *script],
        env=os.environ | dict(CUDA_VISIBLE_DEVICES='-1'),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'exitcode: -9' in done.stderr  # it was killed indeed
    state = load(tmp_path / 'distributed' / 'epoch_3.pth')['state_dict']
    torch.testing.assert_close(state, whole, rtol=0, atol=1e-6)
