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
from torch.utils._pytree import tree_map

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
    range of float32, so no loss is scaled, and checkpoints are those of
    ``OptimWrapper``. Weights, their updates and validation stay in float32.

    Args:
        *args: Of mmengine's ``OptimWrapper``.
        **kwargs: Of mmengine's ``OptimWrapper``.
    """

    cast_dtype = torch.bfloat16

    def __init__(self, *args, **kwargs) -> None:
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
    - What heads put out is rounded too much for a loss. Autocast
      prevents that on a GPU, not on a CPU.
    - On a CPU the gradient of a conv's weight holds uninitialised memory
      where the conv is wider than its input, as at the coarsest level of
      small images (torch 2.14.1, oneDNN 3.12).

    Every training of :class:`mmvovnet.engine.Runner` has this hook, which
    does nothing unless the training is in bfloat16.
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
        cast_back (bool): Give its output, a tensor, the precision of its
            first input: RoI extractors write it between maps of that
            precision. Defaults to False.
        most (float): Only where a side of its input, a map, has at most so
            many pixels. Defaults to infinity.

    Example:
        >>> conv = nn.Conv2d(3, 4, 1)
        >>> run_in_float32(conv)
        >>> with torch.autocast('cpu', torch.bfloat16):
        ...     conv(torch.rand(1, 3, 2, 2).bfloat16()).dtype
        torch.float32
    """
    entered: list[tuple[torch.autocast, torch.dtype] | None] = []

    def enter(module: nn.Module, args: Any, kwargs: Any) -> Any:
        first = next(filter(torch.is_tensor, (*args, *kwargs.values())))
        if min(first.shape[-2:], default=0) > most:
            entered.append(None)
            return args, kwargs
        context = torch.autocast(first.device.type, enabled=False)
        entered.append((context, first.dtype))
        context.__enter__()
        return _float32((args, kwargs))

    def leave(module: nn.Module, args: Any, output: Any) -> Any:
        found = entered.pop() if entered else None
        if found is None:
            return output
        context, dtype = found
        context.__exit__(None, None, None)
        if cast_back and torch.is_tensor(output):
            return output.to(dtype)
        return output

    module.register_forward_pre_hook(enter, with_kwargs=True)
    module.register_forward_hook(leave, always_call=True)


def _float32(values: Any) -> Any:
    def cast(x: Any) -> Any:
        half = isinstance(x, Tensor) and x.dtype in _HALF
        return x.float() if half else x

    return tree_map(cast, values)
