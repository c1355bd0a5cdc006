"""Trainings that a signal stops, and that go on at the next iteration."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import mmengine.runner
import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.fileio import put_text
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapperDict
from mmengine.registry import LOOPS as ROOT_LOOPS
from mmengine.runner import Runner

from mmvovnet.registry import HOOKS

from .hooks import seeded
from .resume import INTERRUPTED

SIGNALS = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2
"""What clusters and users end a training with."""

# A distributed training asks every so many iterations whether a process got a
# signal: the host waits for the GPU's answer.
AGREE_EVERY = 10


@contextmanager
def shield_children() -> Iterator[None]:
    """Let processes that start in this context ignore :data:`SIGNALS`."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


@ROOT_LOOPS.register_module(force=True)
class EpochBasedTrainLoop(mmengine.runner.EpochBasedTrainLoop):
    """mmengine's loop, which also goes on within an epoch.

    mmengine starts the epoch over, and so trains on some images twice. Here
    the batches that were trained on are drawn again, and skipped.
    """

    start = 0
    """Batches of the current epoch that an earlier run has trained on."""

    def run_epoch(self) -> None:
        """Train on the batches of an epoch, or on the rest of them."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        with shield_children():
            batches = iter(self.dataloader)
        batches = seeded(batches, self.runner.seed, self._iter - self.start)
        for index, batch in enumerate(batches):
            if index >= self.start:
                self.run_iter(index, batch)
        self.start = 0
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


@HOOKS.register_module()
class InterruptHook(Hook):
    """Ends a training after the iteration in which a signal comes.

    ``interrupted.pth`` is saved in the work_dir, ``--resume`` goes on at the
    next iteration, and the exit code is 128 plus the signal's number, as in a
    shell: 143 for SIGTERM, 130 for SIGINT, 138 for SIGUSR1. With
    ``accumulative_counts`` it ends after the next update of the weights. All
    processes of a distributed training stop after the same iteration, at most
    ten later. The third SIGINT ends the training at once.
    """

    priority = 'LOWEST'  # after a checkpoint of the epoch, and the logs

    def __init__(self) -> None:
        self.signal = 0
        self._agreed = 0  # by all processes
        self._count = 0
        self._former: dict[int, Any] = {}
        self._validate = False

    def before_train(self, runner: Runner) -> None:
        """Listen to signals, and repeat a validation that one has ended."""
        with suppress(ValueError):  # not in the main thread
            for number in SIGNALS:
                self._former[number] = signal.signal(number, self._note)
        if self._validate and runner.val_loop is not None:
            self._validate = False
            runner.val_loop.run()

    def after_train(self, runner: Runner) -> None:
        """Restore the signal handlers that were there before."""
        while self._former:
            signal.signal(*self._former.popitem())

    def after_load_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Have the loop go on within the epoch, or with its validation."""
        place = (checkpoint.get('meta') or {}).get('interrupted')
        if not runner._resume or not place:
            return
        self._validate = place == 'validation'
        loop = runner.train_loop
        if self._validate or not isinstance(loop, EpochBasedTrainLoop):
            return
        now = get_world_size()
        began = place.get('processes', now)
        loop.start = place['batch'] * began // now
        if began != now:
            runner.logger.warning(
                f'{began} processes began this epoch and {now} go on: they '
                'take other images, so the result differs from an '
                'uninterrupted training.'
            )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any
    ) -> None:
        """Save and stop if any process got a signal, after a whole update."""
        if get_world_size() == 1:
            self._agreed = self.signal
        elif self.every_n_train_iters(runner, AGREE_EVERY):
            latest = torch.tensor(self.signal, device=get_device())
            all_reduce(latest, 'max')
            self._agreed = int(latest)
        wrapper: Any = runner.optim_wrapper
        several = isinstance(wrapper, OptimWrapperDict)
        wrappers = wrapper.values() if several else [wrapper]
        # No gradient of this iteration waits for the next update.
        if self._agreed and all(w.should_update() for w in wrappers):
            place = dict(batch=batch_idx + 1, processes=get_world_size())
            self._stop(runner, self._agreed, runner.iter + 1, place)

    def after_val_iter(
        self, runner: Runner, *args: Any, **kwargs: Any
    ) -> None:
        """Save and stop if this process got a signal, within a training."""
        if self.signal:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):  # it evaluates other weights
                    hook.after_val_epoch(runner)
            self._stop(runner, self.signal, runner.iter, 'validation')

    def _stop(
        self, runner: Runner, number: int, iteration: int, place: dict | str
    ) -> None:
        meta = dict(epoch=runner.epoch, iter=iteration, interrupted=place)
        runner.save_checkpoint(runner.work_dir, INTERRUPTED, meta=meta)
        path = f'{runner.work_dir}/{INTERRUPTED}'
        if is_main_process():
            put_text(path, f'{runner.work_dir}/last_checkpoint')
        if place != 'validation':  # where processes do not wait for each other
            barrier()  # none ends while another one saves
        runner.logger.warning(
            f'{signal.Signals(number).name}: stopped after iteration '
            f"{iteration}, which is saved as '{path}'. --resume goes on "
            'from there.'
        )
        _end_children()
        raise SystemExit(128 + number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or number
        self._count += number == signal.SIGINT
        if self._count > 2:
            _end_children()
            raise KeyboardInterrupt


def _end_children() -> None:
    """End the processes that ignore signals."""
    # PyTorch's handler would raise for each of them.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for child in multiprocessing.active_children():
        child.kill()
