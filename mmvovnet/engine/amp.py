"""Mixed precision on a CPU."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mmvovnet.processor import has_bfloat16
from mmvovnet.registry import OPTIM_WRAPPERS

# The methods that heads have, and that take what their forward puts out.
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
        """Run the model's step in bfloat16.

        What heads put out, and with it the loss, is float32. mmcv's ops,
        which do not know bfloat16 on a CPU, run in float32.
        """
        with ExitStack() as stack:
            stack.enter_context(super().optim_context(model))
            stack.enter_context(torch.autocast('cpu', torch.bfloat16))
            for module in model.modules():
                if type(module).__module__.startswith('mmcv.ops'):
                    stack.enter_context(_changed(module, _in_float32))
                elif any(hasattr(module, name) for name in _LOSSES):
                    stack.enter_context(_changed(module, _to_float32))
            yield


def _in_float32(forward: Callable) -> Callable:
    def run(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        with torch.autocast('cpu', enabled=False):
            return forward(x.float(), *_float32(args), **kwargs).to(x.dtype)

    return run


def _to_float32(forward: Callable) -> Callable:
    return lambda *args, **kwargs: _float32(forward(*args, **kwargs))


def _float32(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.float()
    if isinstance(value, (list, tuple)):
        return type(value)(map(_float32, value))
    return value


@contextmanager
def _changed(
    module: nn.Module, change: Callable[[Callable], Callable]
) -> Iterator[None]:
    """Change a module's ``forward`` for a while."""
    own = module.__dict__.get('forward')
    module.forward = change(module.forward)
    try:
        yield
    finally:
        del module.forward
        if own:
            module.forward = own
