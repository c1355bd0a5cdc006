"""Resuming that survives a killed run and changes nothing in its result.

``CheckpointHook`` and ``DistSamplerSeedHook`` take the places of mmengine's
hooks of the same names, which every run has by default.
"""

import itertools
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import mmengine.hooks
import numpy as np
import torch
from mmengine.dataset import worker_init_fn
from mmengine.dist import barrier, is_main_process
from mmengine.fileio import put_text
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner, set_random_seed

from mmvovnet.checkpoint import is_whole
from mmvovnet.models.layout import needs_usual_layout
from mmvovnet.registry import HOOKS


@ROOT_HOOKS.register_module(force=True)
class CheckpointHook(mmengine.hooks.CheckpointHook):
    """mmengine's hook, which also sees that the last checkpoint is whole.

    If ``work_dir/last_checkpoint`` names a missing or damaged file, a run that
    resumes by itself takes the checkpoint before it.
    """

    def before_run(self, runner: Runner) -> None:
        """Correct ``last_checkpoint`` before the runner reads it."""
        super().before_run(runner)
        if runner._resume and runner._load_from is None:
            if is_main_process():
                self._correct_last_checkpoint(runner)
            barrier()

    def _correct_last_checkpoint(self, runner: Runner) -> None:
        pointer = Path(runner.work_dir, 'last_checkpoint')
        if not pointer.exists():
            return
        name = pointer.read_text().strip()
        last = Path(name)
        # Folders (DeepSpeed) and remote files are not ours to judge.
        if name and (is_whole(last) or last.is_dir() or '://' in name):
            return
        folder = (
            last.parent if name and last.parent.exists() else pointer.parent
        )
        checkpoints = {self._step(path): path for path in folder.iterdir()}
        checkpoints.pop(None, None)
        limit = self._step(last) or max(checkpoints, default=0)
        earlier = (
            checkpoints[step]
            for step in sorted(checkpoints, reverse=True)
            if step <= limit
        )
        whole = next(filter(is_whole, earlier), None)
        problem = f"'{pointer}' names '{name}', which is missing or damaged"
        if whole is None:
            pointer.unlink()
            runner.logger.warning(
                f'{problem}, and there is no whole one before it: the '
                'training starts from scratch.'
            )
        else:
            put_text(str(whole), pointer)
            runner.logger.warning(f"{problem}: resuming from '{whole}'.")

    def _step(self, path: Path) -> int | None:
        """The epoch or iteration in the name of a checkpoint of this run."""
        numbers = map(int, re.findall(r'\d+', path.name))
        named = (
            n for n in numbers if self.filename_tmpl.format(n) == path.name
        )
        return next(named, None)


@ROOT_HOOKS.register_module(force=True)
class DistSamplerSeedHook(mmengine.hooks.DistSamplerSeedHook):
    """mmengine's hook, which also seeds what follows the sampler.

    Every epoch (:class:`~mmengine.runner.EpochBasedTrainLoop`) or iteration
    (:class:`~mmengine.runner.IterBasedTrainLoop`) draws its augmentation and
    dropout from a seed of its own. A run that was killed and resumed is then
    equal to one that was not, if ``randomness`` holds a seed.
    """

    def before_train(self, runner: Runner) -> None:
        """Say when the result of a resumed run can differ."""
        if (
            runner.iter
            and runner.train_dataloader.persistent_workers
            and not isinstance(runner.train_loop, IterBasedTrainLoop)
        ):
            runner.logger.warning(
                'persistent_workers=True: the workers of the interrupted run '
                'are gone, so the augmentation differs from here on. '
                'persistent_workers=False makes a resumed run exact.'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed this process and the data loader's workers."""
        super().before_train_epoch(runner)
        loop = runner.train_loop
        if isinstance(loop, IterBasedTrainLoop):
            loop.dataloader_iterator = _seeded(
                loop.dataloader_iterator, runner.seed
            )
            return
        seed = _mix(runner.seed, runner.iter)
        set_random_seed(seed)
        loader = loop.dataloader
        if getattr(loader.worker_init_fn, 'func', None) is worker_init_fn:
            loader.worker_init_fn = partial(loader.worker_init_fn, seed=seed)


@HOOKS.register_module()
class ChannelsLastHook(mmengine.hooks.Hook):
    """Keep a model's weights, and so its feature maps, in channels-last order.

    A conv whose weight is in that order puts out a map that is, whatever its
    input. GPUs with tensor cores and many CPUs run it faster. mmcv's compiled
    ops read such a map as if it were in the usual order, so that deformable
    convs and RoI align would compute nonsense without an error.
    """

    def before_run(self, runner: Runner) -> None:
        """Reorder the weights, before a checkpoint is loaded into them.

        Raises:
            ValueError: The model holds a compiled op of mmcv.
        """
        if found := needs_usual_layout(runner.model):
            name, kind = found
            raise ValueError(
                f"'{name}' is a {kind}, one of mmcv's ops, which give wrong "
                'results in channels-last order: leave ChannelsLastHook out '
                'of custom_hooks'
            )
        runner.model.to(memory_format=torch.channels_last)


def _seeded(batches: Iterator, seed: int) -> Iterator:
    """Seed this process anew before each batch, also a skipped one."""
    for step in itertools.count():
        set_random_seed(_mix(seed, step))
        yield next(batches)


def _mix(seed: int, step: int) -> int:
    """A seed below 2**31, to which mmengine adds the worker's number."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0] >> 1)
