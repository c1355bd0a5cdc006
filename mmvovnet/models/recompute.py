"""Training with fewer saved activations."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class frozen_statistics:
    """Batch norms normalise as in training, and their buffers stay.

    They write their statistics into clones, which leave with the context.

    Args:
        module (nn.Module): The batch norms in it are meant.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __enter__(self) -> None:
        self.kept = [
            (m, dict(m._buffers))
            for m in self.module.modules()
            if isinstance(m, _BatchNorm) and m.training
        ]
        for norm, buffers in self.kept:
            for name, buffer in buffers.items():
                if buffer is not None:
                    norm._buffers[name] = buffer.clone()

    def __exit__(self, *exc) -> None:
        for norm, buffers in self.kept:
            norm._buffers.update(buffers)


def checkpoint_module(module: nn.Module, x: Tensor) -> Tensor:
    """Run ``module.forward(x)``; keep ``x`` and recompute the rest.

    Plain checkpointing runs the forward twice, so batch norms count a batch
    twice. Here the second run leaves the running statistics alone.

    Args:
        module (nn.Module): Any module of one input.
        x (Tensor): Its input.

    Returns:
        Tensor: Its output, equal in value and gradients to ``module(x)``.

    Example:
        >>> bn = nn.BatchNorm2d(4)
        >>> x = torch.rand(2, 4, 3, 3, requires_grad=True)
        >>> checkpoint_module(bn, x).sum().backward()
        >>> int(bn.num_batches_tracked)
        1
    """
    if torch.compiler.is_compiling():
        # The compiler derives the second run from the first one's graph,
        # which holds no update, and it takes no foreign contexts.
        return checkpoint(module.forward, x, use_reentrant=False)
    return checkpoint(
        module.forward,
        x,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), frozen_statistics(module)),
    )
