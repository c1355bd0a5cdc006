"""Checkpointing of modules: their input is kept, the rest recomputed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import (
    checkpoint,
    get_device_states,
    set_device_states,
)

from .recompute import recompute_elementwise
from .recorder import recording_paused


@contextmanager
def _frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norms normalise as in training, and learn nothing.

    With a momentum of 0 their statistics stay, bit for bit.
    """
    norms = [
        (m, m.momentum, m.num_batches_tracked)
        for m in module.modules()
        if isinstance(m, _BatchNorm) and m.training
    ]
    for norm, *_ in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, batches in norms:
            norm.momentum, norm.num_batches_tracked = momentum, batches


class _RecomputedModule(torch.autograd.Function):
    """Run a module, and once more in the backward pass.

    PyTorch's checkpoint keeps what its second run saves by hooks of its own,
    which those of ``recompute_elementwise`` would replace. Here the second
    run has a graph for itself. The parameters are inputs, so that DDP sees
    them used and their gradients come out of the outer graph.
    """

    @staticmethod
    def forward(
        ctx: Any,
        module: nn.Module,
        forward: Callable[[Tensor], Tensor],
        x: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.module, ctx.run, ctx.parameters = module, forward, parameters
        ctx.save_for_backward(x)
        ctx.autocast = nullcontext()
        device = x.device.type
        if torch.amp.is_autocast_available(device):
            enabled = torch.is_autocast_enabled(device)
            ctx.autocast = torch.autocast(device, enabled=enabled)
        ctx.random = torch.get_rng_state(), *get_device_states(x)
        with recording_paused():
            return forward(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x = ctx.saved_tensors[0].detach()
        x.requires_grad_(ctx.needs_input_grad[2])
        state, devices, states = ctx.random
        with (
            torch.random.fork_rng(devices),
            torch.enable_grad(),
            ctx.autocast,
            _frozen_statistics(ctx.module),
            recompute_elementwise(),
        ):
            torch.set_rng_state(state)
            set_device_states(devices, states)
            out = ctx.run(x)
        inputs = [t for t in (x, *ctx.parameters) if t.requires_grad]
        grads = torch.autograd.grad(out, inputs, grad)
        none = (None,) * (2 if x.requires_grad else 3)
        return *none, *grads


def checkpoint_module(
    module: nn.Module,
    forward: Callable[[Tensor], Tensor],
    x: Tensor,
    memory_efficient: bool = False,
) -> Tensor:
    """Run a module's ``forward(x)``; keep ``x`` and recompute the rest.

    Output and gradients are those of ``module(x)``. Plain checkpointing runs
    the forward twice, so batch norms count a batch twice. Here the second run
    leaves the running statistics alone. Hooks of the module itself are not in
    ``forward``, and so run once.

    With ``memory_efficient`` the second run keeps the outputs of convs only,
    as :func:`recompute_elementwise` does, so that the peak is lower too.

    Example:
        >>> bn = nn.BatchNorm2d(4)
        >>> x = torch.rand(2, 4, 3, 3, requires_grad=True)
        >>> checkpoint_module(bn, bn.forward, x).sum().backward()
        >>> int(bn.num_batches_tracked)
        1
    """
    if torch.jit.is_tracing():
        return forward(x)
    if torch.compiler.is_compiling():
        # The compiler derives the second run from the first one's graph,
        # which holds no update, and it takes no foreign contexts.
        return checkpoint(forward, x, use_reentrant=False)
    if memory_efficient:
        parameters = [p for p in module.parameters() if p.requires_grad]
        return _RecomputedModule.apply(module, forward, x, *parameters)
    runs = count()

    def run(x: Tensor) -> Tensor:
        again = next(runs) > 0
        with _frozen_statistics(module) if again else nullcontext():
            return forward(x)

    return checkpoint(run, x, use_reentrant=False)
