"""Hooks: seeds, memory layout, memory."""

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import mmengine.hooks
import numpy as np
import torch
from mmengine.dataset import worker_init_fn
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner, set_random_seed
from torch import nn

from mmvovnet.models import VoVNet
from mmvovnet.models.layers import mmcv_ops
from mmvovnet.models.memory import recompute_forward
from mmvovnet.models.osa import OSAModule
from mmvovnet.registry import HOOKS


@ROOT_HOOKS.register_module(force=True)
class DistSamplerSeedHook(mmengine.hooks.DistSamplerSeedHook):
    """mmengine's hook, which also seeds what follows the sampler.

    Workers of the data loader get a seed of each epoch, this process one of
    each iteration. If ``randomness`` holds a seed, a run that was killed and
    resumed then equals one that was not.
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
            loop.dataloader_iterator = seeded(
                loop.dataloader_iterator, runner.seed
            )
            return
        # A run that goes on within the epoch begins with the epoch's seed.
        seed = _mix(runner.seed, runner.iter - getattr(loop, 'start', 0))
        set_random_seed(seed)
        loader = loop.dataloader
        if getattr(loader.worker_init_fn, 'func', None) is worker_init_fn:
            loader.worker_init_fn = partial(loader.worker_init_fn, seed=seed)


def seeded(batches: Iterable, seed: int, first: int = 0) -> Iterator:
    """Seed this process before it draws each batch, from iteration first."""
    set_random_seed(_mix(seed, first))
    for step, batch in enumerate(batches, first + 1):
        yield batch
        set_random_seed(_mix(seed, step))


def _mix(seed: int, step: int) -> int:
    """A seed below 2**31, to which mmengine adds the worker's number."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0] >> 1)


@HOOKS.register_module()
class ChannelsLastHook(mmengine.hooks.Hook):
    """Keep a model's weights, and so its feature maps, in channels-last order.

    GPUs with tensor cores and many CPUs run convs faster in that order. CUDA's
    group norms copy every map, so a part of the model with one stays as it is.
    """

    def before_run(self, runner: Runner) -> None:
        """Reorder the weights, before a checkpoint is loaded into them.

        Raises:
            ValueError: The model holds a compiled op of mmcv, which misreads
                maps of that order.
        """
        for name, op in mmcv_ops(runner.model):
            raise ValueError(
                f"'{name}' is a {type(op).__name__}, one of mmcv's ops, which "
                'give wrong results in channels-last order: leave '
                'ChannelsLastHook out of custom_hooks'
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

    Does for a whole model what ``memory_efficient=True`` does in a VoVNet: the
    backward pass repeats norms, activations and other cheap operations. Losses
    and gradients stay. A compiled model's compiler does so by itself.
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
