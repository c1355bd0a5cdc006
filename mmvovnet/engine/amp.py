"""Mixed precision in bfloat16, on CPUs and GPUs."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from mmvovnet.processor import has_bfloat16
from mmvovnet.registry import HOOKS, OPTIM_WRAPPERS

from .hooks import unwrapped

_HALF = torch.bfloat16, torch.float16
_LOSSES = ('loss', 'loss_by_feat', 'loss_and_target')


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """mmengine's ``AmpOptimWrapper`` for a CPU, in bfloat16.

    :class:`mmvovnet.engine.Runner` takes it where a config, or ``--amp``,
    asks for ``AmpOptimWrapper`` and there is no accelerator. bfloat16 has the
    range of float32: ``loss_scale`` has no effect. Checkpoints are those of
    ``OptimWrapper``. Weights and validation stay in float32.
    """

    cast_dtype = torch.bfloat16

    def __init__(self, *args, **kwargs) -> None:
        for name in ('loss_scale', 'dtype', 'use_fsdp'):
            kwargs.pop(name, None)
        super().__init__(*args, **kwargs)
        message = 'Trains in bfloat16 by autocast, without a loss scale.'
        if not has_bfloat16():
            message = (
                'This CPU has no instructions for bfloat16 (avx512_bf16, '
                'amx_bf16): they are emulated, and training is slower than '
                'in float32. Leave out --amp.'
            )
        print_log(message, 'current')

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the model's step in bfloat16."""
        with (
            super().optim_context(model),
            torch.autocast('cpu', self.cast_dtype),
        ):
            yield


@HOOKS.register_module()
class Bfloat16Hook(Hook):
    """Keeps in float32 what goes wrong in bfloat16.

    - mmcv's ops, such as RoI align, deformable convs and, on GPUs, the focal
      loss, have no kernels for bfloat16.
    - What heads put out is too coarse for a loss, and on a CPU autocast does
      not prevent that.
    - On a CPU the gradient of a conv's weight holds uninitialised memory
      where the conv is wider than its input, as at the coarsest level of
      small images (torch 2.14.1, oneDNN 3.12).
    """

    def before_train(self, runner: Runner) -> None:
        """Find such ops, heads and convs in the model."""
        wrapper = runner.optim_wrapper
        on_cpu = isinstance(wrapper, CPUAmpOptimWrapper)
        dtype = getattr(wrapper, 'cast_dtype', None)
        if not on_cpu and dtype != torch.bfloat16:
            return
        for module in unwrapped(runner.model).modules():
            origins = [kind.__module__ for kind in type(module).__mro__]
            if any(name.startswith('mmcv.ops') for name in origins):
                run_in_float32(module, cast_back=True)
            elif any(name.endswith('.losses.focal_loss') for name in origins):
                run_in_float32(module)
            elif on_cpu and any(hasattr(module, name) for name in _LOSSES):
                module.register_forward_hook(
                    lambda module, args, outputs: _float32(outputs)
                )
            elif on_cpu and isinstance(module, nn.Conv2d):
                width = max(module.kernel_size)
                if width > 1:
                    run_in_float32(module, True, most=width // 2)


def run_in_float32(
    module: nn.Module, cast_back: bool = False, most: float = math.inf
) -> None:
    """Let a module run in float32 where autocast is on.

    Args:
        module (nn.Module): A module whose weights are in float32.
        cast_back (bool): Give its output the precision of its first input.
        most (float): Only where a side of its input, a map, has at most so
            many pixels.

    Example:
        >>> conv = nn.Conv2d(3, 4, 1)
        >>> run_in_float32(conv)
        >>> with torch.autocast('cpu', torch.bfloat16):
        ...     conv(torch.rand(1, 3, 2, 2).bfloat16()).dtype
        torch.float32
    """
    # Hooks, as a new `forward` would be that of this module in its copies too.
    entered: list[tuple[torch.autocast, torch.dtype]] = []

    def enter(module: nn.Module, *inputs: Any) -> Any:
        args, kwargs = inputs
        first = next(filter(torch.is_tensor, (*args, *kwargs.values())))
        if min(first.shape[-2:], default=0) > most:
            return inputs
        context = torch.autocast(first.device.type, enabled=False)
        entered.append((context, first.dtype))
        context.__enter__()
        return _float32(inputs)

    def leave(module: nn.Module, args: Any, output: Any) -> Any:
        if not entered:
            return output
        context, dtype = entered.pop()
        context.__exit__(None, None, None)
        back = cast_back and torch.is_tensor(output)
        return output.to(dtype) if back else output

    module.register_forward_pre_hook(enter, with_kwargs=True)
    module.register_forward_hook(leave, always_call=True)


def _float32(values: Any) -> Any:
    return tree_map_only(
        Tensor, lambda x: x.float() if x.dtype in _HALF else x, values
    )
