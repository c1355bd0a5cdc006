"""Hooks: exact resuming, memory layout, memory.

``CheckpointHook`` and ``DistSamplerSeedHook`` replace mmengine's hooks of the
same names, which every run has by default.
"""

import itertools
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mmengine.hooks
import numpy as np
import torch
from mmengine.dataset import worker_init_fn
from mmengine.dist import barrier, is_main_process
from mmengine.fileio import put_text
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner, set_random_seed
from torch import nn

from mmvovnet.models import VoVNet
from mmvovnet.models.layout import needs_usual_layout
from mmvovnet.models.memory import recompute_forward
from mmvovnet.models.osa import OSAModule
from mmvovnet.registry import HOOKS
from mmvovnet.weights import CheckpointError, is_whole

from .newest import INTERRUPTED, newest


@ROOT_HOOKS.register_module(force=True)
class CheckpointHook(mmengine.hooks.CheckpointHook):
    """mmengine's hook, which never loses a complete checkpoint.

    A run that resumes by itself takes the newest whole checkpoint of its
    work_dir, whatever ``work_dir/last_checkpoint`` says. With
    ``max_keep_ckpts`` the oldest goes when the new one is saved, not before.
    """

    def before_run(self, runner: Runner) -> None:
        """Correct ``last_checkpoint`` before the runner reads it."""
        super().before_run(runner)
        if runner._resume and runner._load_from is None:
            if is_main_process():
                self._correct_last_checkpoint(runner)
            barrier()

    def folder(self, runner: Runner) -> Path:
        """Where this run's checkpoints are."""
        work_dir = Path(runner.work_dir)
        if self.out_dir is None or Path(self.out_dir) == work_dir:
            return work_dir
        if Path(self.out_dir).name == work_dir.name:  # mmengine has added it
            return Path(self.out_dir)
        return Path(self.out_dir, work_dir.name)

    def _correct_last_checkpoint(self, runner: Runner) -> None:
        pointer = Path(runner.work_dir, 'last_checkpoint')
        try:
            name = pointer.read_text().strip()
        except (OSError, UnicodeDecodeError):
            name = ''
        last = Path(name)
        # Not checked: folders (DeepSpeed) and remote files.
        if '://' in name or (name and last.is_dir()):
            return
        folder = self.folder(runner)
        whole = newest(folder, self.filename_tmpl)
        if whole is None and (name and is_whole(last)):
            return
        if whole is not None:
            put_text(str(whole), str(pointer))
            if whole != last:
                runner.logger.warning(
                    f"'{pointer}' names '{name}', and the newest whole "
                    f"checkpoint is '{whole}': resuming from that."
                )
            return
        pointer.unlink(missing_ok=True)
        runner.logger.warning(
            f"There is no whole checkpoint in '{folder}': the training "
            'starts from scratch.'
        )

    def after_load_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to resume from weights alone.

        Raises:
            CheckpointError: If the file does not say where the training was.
        """
        meta = checkpoint.get('meta') or {}
        lacks = [k for k in ('epoch', 'iter') if k not in meta]
        lacks += [k for k in ('message_hub',) if k not in checkpoint]
        if runner._resume and lacks:
            raise CheckpointError(
                'the checkpoint holds weights and not the state of a training '
                f'(it lacks {", ".join(lacks)}), so that none can be resumed '
                'from it: to start a new training with these weights, set '
                'load_from, without --resume'
            )

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: dict
    ) -> None:
        outdated = None
        if self.max_keep_ckpts > 0:
            kept = self.keep_ckpt_ids
            if len(kept) == self.max_keep_ckpts and kept[-1] != step:
                outdated = kept.popleft()  # or mmengine would remove it first
        super()._save_checkpoint_with_step(runner, step, meta)
        if is_main_process():
            if outdated is not None:
                name = self.filename_tmpl.format(outdated)
                path = self.file_backend.join_path(self.out_dir, name)
                if self.file_backend.isdir(path):
                    self.file_backend.rmtree(path)
                elif self.file_backend.exists(path):
                    self.file_backend.remove(path)
            Path(runner.work_dir, INTERRUPTED).unlink(missing_ok=True)


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
        # A run that goes on within the epoch begins with the epoch's seed.
        seed = _mix(runner.seed, runner.iter - getattr(loop, 'start', 0))
        set_random_seed(seed)
        loader = loop.dataloader
        if getattr(loader.worker_init_fn, 'func', None) is worker_init_fn:
            loader.worker_init_fn = partial(loader.worker_init_fn, seed=seed)


@HOOKS.register_module()
class ChannelsLastHook(mmengine.hooks.Hook):
    """Keep a model's weights, and so its feature maps, in channels-last order.

    A conv whose weight is in that order puts out a map that is, whatever its
    input. GPUs with tensor cores and many CPUs run it faster. Group norms of
    CUDA want the usual order and would have every map copied there and back,
    so backbone, neck or head stays as it is where it holds one. mmcv's
    compiled ops read such a map as if it were in the usual order, so that
    deformable convs and RoI align would compute nonsense without an error.
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
        for name, part in unwrapped(runner.model).named_children():
            if any(isinstance(m, nn.GroupNorm) for m in part.modules()):
                print_log(
                    f'ChannelsLastHook leaves {name} in the usual order: it '
                    'has group norms, which would copy every map',
                    logger='current',
                    level=logging.WARNING,
                )
            else:
                part.to(memory_format=torch.channels_last)


@HOOKS.register_module()
class MemoryEfficientHook(mmengine.hooks.Hook):
    """Train with fewer saved activations, in neck and head as well.

    Does for a whole model what ``memory_efficient=True`` does in a VoVNet:
    what convs put out is kept for the backward pass, and norms, activations
    and other cheap operations are repeated. It sets that option of a VoVNet,
    too, which then concatenates less. Losses and gradients stay. Where the
    model is compiled, the compiler does so by itself.
    """

    def before_train(self, runner: Runner) -> None:
        """Prepare the model, inside its distributed wrapper."""
        model = unwrapped(runner.model)
        recompute_forward(model)
        for module in model.modules():
            if isinstance(module, VoVNet | OSAModule):
                module.memory_efficient = True


def unwrapped(model: Any) -> nn.Module:
    """The model inside its distributed wrapper, if it has one."""
    return model.module if is_model_wrapper(model) else model


def _seeded(batches: Iterator, seed: int) -> Iterator:
    """Seed this process before each batch, also before a skipped one."""
    for step in itertools.count():
        set_random_seed(_mix(seed, step))
        yield next(batches)


def _mix(seed: int, step: int) -> int:
    """A seed below 2**31, to which mmengine adds the worker's number."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0] >> 1)
