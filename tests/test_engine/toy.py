"""A small training, in processes of its own.

``python toy.py FOLDER`` trains each case of ``CASES`` without interruption,
killed in mid-epoch and resumed, and stopped there by SIGTERM and resumed; and,
without any randomness, in one process and in two. ``torchrun toy.py FOLDER
RANK PLACE`` trains in two of which one is killed on the way, and with STRATEGY
by mmengine's FlexibleRunner.
"""

import os
import random
import signal
import socket
import sys
import traceback
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, MODELS, RUNNERS
from torch import nn
from torch.utils.data import Dataset

ITERS = 4  # per epoch
EPOCHS = 3
CASES = {
    'epoch': dict(workers=2),
    'iter': dict(by_epoch=False),
    'amp': dict(wrapper='AmpOptimWrapper'),
}


@DATASETS.register_module()
class Noise(Dataset):
    """Fixed inputs (4, 6, 6), shifted at random by each generator there is."""

    def __init__(self, augment: bool) -> None:
        self.inputs = torch.randn(
            16, 4, 6, 6, generator=torch.Generator().manual_seed(0)
        )
        self.augment = augment

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> dict:
        shift = random.random() + np.random.rand() + torch.rand(())
        return dict(inputs=self.inputs[index] + self.augment * shift)


@MODELS.register_module()
class Toy(BaseModel):
    def __init__(self, drop: float = 0.5) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(4, 8, 3),
            nn.GroupNorm(2, 8),
            nn.ReLU(),
            nn.Dropout(drop),
            nn.Conv2d(8, 1, 3),
        )

    def forward(self, inputs: torch.Tensor, mode: str) -> dict | list:
        target = inputs.mean((1, 2, 3))
        error = (self.layers(inputs).mean((1, 2, 3)) - target).pow(2)
        return dict(loss=error) if mode == 'loss' else [error]


@HOOKS.register_module()
class Kill(Hook):
    def __init__(self, at: int, by: str = 'SIGKILL') -> None:
        self.at = at
        self.by = getattr(signal, by)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.at:
            os.kill(os.getpid(), self.by)


@HOOKS.register_module()
class KillOnce(Hook):
    """Kills one process, at one place, in the first life of its group."""

    priority = 'VERY_LOW'

    def __init__(self, rank: int, place: str) -> None:
        self.rank = rank
        self.place = place
        self.times = 2 if place == 'twice' else 1

    def kill(self, runner, place: str, when: bool = True) -> None:
        # torchrun's own count of lives is one of each node.
        deaths = list(Path(runner.work_dir).glob('death-*'))
        here = (runner.rank, place) == (self.rank, self.place)
        if when and here and len(deaths) < self.times:
            Path(runner.work_dir, f'death-{len(deaths)}').touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.kill(runner, 'start')
        self.kill(runner, 'train', runner.iter == ITERS + 2)
        self.kill(runner, 'twice', runner.iter >= ITERS + 2)

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.kill(runner, 'val', runner.epoch == 2)

    def before_save_checkpoint(self, runner, checkpoint) -> None:
        if runner.epoch == 1 and self.place == 'save':
            os.fsync = lambda _: self.kill(runner, 'save')

    def after_train_epoch(self, runner) -> None:
        # Others than rank 0 save nothing: they die while it does.
        self.kill(runner, 'save', runner.epoch == 1 and runner.rank > 0)


def config(
    work_dir,
    by_epoch=True,
    workers=0,
    batch=4,
    drop=0.5,
    wrapper='OptimWrapper',
):
    loop = dict(by_epoch=True, max_epochs=EPOCHS)
    if not by_epoch:
        loop = dict(by_epoch=False, max_iters=EPOCHS * ITERS)
    checkpoint = dict(
        type='CheckpointHook', by_epoch=by_epoch, interval=1 if by_epoch else 5
    )
    return dict(
        runner_type='mmvovnet.Runner',
        model=dict(type='Toy', drop=drop),
        work_dir=str(work_dir),
        train_cfg=loop,
        train_dataloader=dict(
            dataset=dict(type='Noise', augment=drop > 0),
            sampler=dict(
                type='DefaultSampler' if by_epoch else 'InfiniteSampler',
                shuffle=drop > 0,
            ),
            batch_size=batch,
            num_workers=workers,
            collate_fn=dict(type='default_collate'),
        ),
        optim_wrapper=dict(
            type=wrapper, optimizer=dict(type='SGD', lr=0.01, momentum=0.9)
        ),
        param_scheduler=dict(type='ExponentialLR', gamma=0.5),
        default_hooks=dict(checkpoint=checkpoint),
        randomness=dict(seed=7),
        log_level='WARNING',
    )


def train(cfg: dict) -> None:
    runner = RUNNERS.build(cfg)
    state = runner.train().state_dict()
    if runner.world_size > 1:
        torch.save(state, Path(runner.work_dir).parent / f'{runner.rank}.pth')


def fork(cfg: dict, **env: str) -> int:
    """Train in a process of its own; its pid."""
    if child := os.fork():
        return child
    os.environ |= env
    try:
        train(cfg)
    except SystemExit as stop:
        os._exit(stop.code)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def end(child: int) -> int:
    """Wait for a process; its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_torchrun(
    folder: Path, rank: str, place: str, strategy: str = ''
) -> None:
    cfg = distributed(folder)
    val_loader = cfg['train_dataloader'] | dict(
        sampler=dict(type='DefaultSampler', shuffle=False)
    )
    cfg |= dict(
        custom_hooks=[dict(type='KillOnce', rank=int(rank), place=place)],
        resume=True,
        val_dataloader=val_loader,
        val_cfg=dict(),
        val_evaluator=[],
    )
    if strategy:
        import_module('mmvovnet.engine')
        cfg |= dict(
            runner_type='FlexibleRunner',
            env_cfg=dict(dist_cfg=dict(backend='gloo')),
            strategy=dict(
                type=strategy,
                model_wrapper=dict(use_orig_params=True),
                state_dict_cfg='full',
            ),
        )
    train(cfg)


def distributed(folder: Path) -> dict:
    """The config of two processes."""
    cfg = config(folder / 'distributed', batch=2, drop=0.0)
    return cfg | dict(launcher='pytorch')


def main(folder: Path) -> None:
    RUNNERS.build(config(folder / 'warm-up'))  # imports, once for all
    for name, case in CASES.items():
        assert end(fork(config(folder / f'{name}-whole', **case))) == 0
        for by, code in (
            ('SIGKILL', -signal.SIGKILL),
            ('SIGTERM', 128 + signal.SIGTERM),
        ):
            cfg = config(folder / f'{name}-{by}', **case)
            kill = dict(type='Kill', at=2 * ITERS + 1, by=by)
            assert end(fork(cfg | dict(custom_hooks=[kill]))) == code
            assert end(fork(cfg | dict(resume=True))) == 0
    assert end(fork(config(folder / 'single', drop=0.0))) == 0
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    address = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    pair = [
        fork(
            distributed(folder),
            **address | dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE='2'),
        )
        for rank in '01'
    ]
    assert [*map(end, pair)] == [0, 0]


if __name__ == '__main__':
    torch.set_num_threads(1)
    run = in_torchrun if 'RANK' in os.environ else main
    run(Path(sys.argv[1]), *sys.argv[2:])
