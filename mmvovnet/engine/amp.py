"""Mixed precision on a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import nn

from mmvovnet.processor import has_bfloat16
from mmvovnet.registry import OPTIM_WRAPPERS


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
        """Run the model's step in bfloat16, where that keeps its loss."""
        with (
            super().optim_context(model),
            torch.autocast('cpu', torch.bfloat16),
        ):
            yield
