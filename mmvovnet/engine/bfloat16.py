"""mmcv's compiled ops in a training in bfloat16."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from mmvovnet.registry import HOOKS


@HOOKS.register_module()
class Bfloat16Hook(Hook):
    """Runs mmcv's ops in float32 under ``AmpOptimWrapper(dtype='bfloat16')``.

    Those of mmcv 2.1, such as RoI align, deformable convs and the focal loss
    on GPUs, have no kernels for bfloat16. Every training of
    :class:`mmvovnet.engine.Runner` has this hook.
    """

    def before_train(self, runner: Runner) -> None:
        """Find the ops in the model."""
        wrapper = runner.optim_wrapper
        if getattr(wrapper, 'cast_dtype', None) != torch.bfloat16:
            return
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        for module in model.modules():
            if any(
                kind.__module__.startswith('mmcv.ops')
                or kind.__module__.endswith('.losses.focal_loss')
                for kind in type(module).__mro__
            ):
                run_in_float32(module)


def run_in_float32(module: nn.Module) -> None:
    """Let a module run in float32 where autocast is on.

    Args:
        module (nn.Module): A module whose weights are in float32.

    Example:
        >>> conv = nn.Conv2d(3, 4, 1)
        >>> run_in_float32(conv)
        >>> with torch.autocast('cpu', torch.bfloat16):
        ...     conv(torch.rand(1, 3, 2, 2).bfloat16()).dtype
        torch.float32
    """
    entered: list[torch.autocast] = []

    def enter(module: nn.Module, args: Any, kwargs: Any) -> Any:
        tensors = [x for x in (*args, *kwargs.values()) if torch.is_tensor(x)]
        device = tensors[0].device.type if tensors else 'cpu'
        entered.append(torch.autocast(device, enabled=False))
        entered[-1].__enter__()
        return tree_map(_float32, (args, kwargs))

    def leave(*args) -> None:
        if entered:
            entered.pop().__exit__(None, None, None)

    module.register_forward_pre_hook(enter, with_kwargs=True)
    module.register_forward_hook(leave, always_call=True)


def _float32(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype == torch.bfloat16
    return value.float() if half else value
