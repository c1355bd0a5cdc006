"""Trainings that save a checkpoint when a signal stops them."""

import signal
from contextlib import suppress
from types import FrameType
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import (
    all_gather_object,
    all_reduce,
    barrier,
    get_rank,
    get_world_size,
    is_main_process,
)
from mmengine.fileio import put_text
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from mmvovnet.registry import HOOKS

from .loops import EpochBasedTrainLoop
from .newest import INTERRUPTED
from .randomness import get_state
from .signals import SIGNALS, end_children

# A distributed training asks every so many iterations whether a process got a
# signal: the host waits for the GPU's answer.
AGREE_EVERY = 10


@HOOKS.register_module()
class InterruptHook(Hook):
    """Ends a training after the iteration in which a signal comes.

    With ``accumulative_counts`` it ends after the next update of the weights:
    no gradient is lost.

    ``interrupted.pth`` is saved in the work_dir, ``--resume`` goes on at the
    next iteration, and the exit code is 128 plus the signal's number, as in a
    shell: 143 for SIGTERM, 130 for SIGINT, 138 for SIGUSR1. All processes of a
    distributed training stop after the same iteration, at most ten later. The
    third SIGINT ends the training at once.

    Every training of :class:`mmvovnet.engine.Runner` has this hook.
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
        """Stop listening to signals."""
        self.restore()

    def restore(self) -> None:
        """Restore the signal handlers that were there before."""
        while self._former:
            signal.signal(*self._former.popitem())

    def after_load_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Have the loop go on within the epoch, or with its validation."""
        meta = checkpoint.get('meta') or {}
        place = meta.get('interrupted')
        loop = runner.train_loop if runner._resume else None
        self._validate = bool(loop and place == 'validation')
        if (
            self._validate
            or not place
            or not isinstance(loop, EpochBasedTrainLoop)
        ):
            return
        loop.start, states = place['batch'], place['states']
        if len(states) == get_world_size():
            loop.state = states[get_rank()]
        else:
            loop.start = loop.start * len(states) // get_world_size()
            runner.logger.warning(
                f'{len(states)} processes began this epoch and '
                f'{get_world_size()} go on: they take other images, so the '
                'result differs from an uninterrupted training.'
            )

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Save and stop if any process got a signal, after a whole update.

        Raises:
            SystemExit: With 128 and the signal's number.
        """
        if get_world_size() == 1:
            self._agreed = self.signal
        elif self.every_n_train_iters(runner, AGREE_EVERY):
            latest = torch.tensor(self.signal, device=get_device())
            all_reduce(latest, 'max')
            self._agreed = int(latest)
        number = self._agreed
        if number and _has_updated(runner.optim_wrapper):
            place = dict(
                batch=batch_idx + 1, states=all_gather_object(get_state())
            )
            meta = dict(
                epoch=runner.epoch, iter=runner.iter + 1, interrupted=place
            )
            self._stop(runner, number, meta)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Save and stop if this process got a signal, within a training.

        Raises:
            SystemExit: With 128 and the signal's number.
        """
        if self.signal:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):  # it evaluates other weights
                    hook.after_val_epoch(runner)
            meta = dict(
                epoch=runner.epoch, iter=runner.iter, interrupted='validation'
            )
            self._stop(runner, self.signal, meta, together=False)

    def _stop(
        self, runner: Runner, number: int, meta: dict, together: bool = True
    ) -> None:
        runner.save_checkpoint(runner.work_dir, INTERRUPTED, meta=meta)
        path = f'{runner.work_dir}/{INTERRUPTED}'
        if is_main_process():
            put_text(path, f'{runner.work_dir}/last_checkpoint')
        if together:
            barrier()  # none ends while another one saves
        runner.logger.warning(
            f'{signal.Signals(number).name}: stopped after iteration '
            f"{meta['iter']}, which is saved as '{path}'. --resume goes on "
            'from there.'
        )
        self.restore()
        end_children()
        raise SystemExit(128 + number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or number
        self._count += number == signal.SIGINT
        if self._count > 2:
            self.restore()
            end_children()
            raise KeyboardInterrupt


def _has_updated(wrapper: Any) -> bool:
    """Whether no gradient of this iteration waits for the next update."""
    several = isinstance(wrapper, OptimWrapperDict)
    wrappers = wrapper.values() if several else [wrapper]
    return all(w.should_update() for w in wrappers)
