"""The outputs of convs are kept, and what is cheap is recomputed."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    nullcontext,
)

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from .recorder import Recorder


@contextmanager
def recompute_elementwise() -> Iterator[None]:
    """Let the forward pass inside save no tensor that is cheap to recompute.

    Of a conv, a norm and an activation, autograd saves the conv's output, and
    the activation's as its own result, the next conv's input and part of a
    concatenation. Here only the conv's output is kept. What norms, pointwise
    ops, casts and concatenations made of it is replaced by a recipe that
    makes it again when the backward pass asks for it. Batch statistics are
    those of the forward pass: a SyncBN does not communicate again. A conv of
    few multiply-adds, such as an image's, and a max pool, whose indices are
    kept in few bits, are repeated as well. Results of unknown ops are kept,
    and so is every other addition: else the last one would reach back through
    all modules. There is no double backward.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
        >>> with recompute_elementwise():
        ...     out = net(torch.rand(1, 3, 2, 2))
        >>> out.sum().backward()
    """
    recorder = Recorder()
    try:
        with saved_tensors_hooks(recorder.find, recorder.unpack), recorder:
            yield
    finally:
        recorder.recipes.clear()


def _can_recompute() -> bool:
    """Whether recomputation saves memory in this forward pass.

    It does not without gradients, in a trace, under a compiler, which does so
    by itself, or under other hooks on saved tensors: a checkpoint around the
    model keeps only its input, and hooks inside it would keep more.
    """
    if (
        not torch.is_grad_enabled()
        or torch.jit.is_tracing()
        or torch.compiler.is_compiling()
    ):
        return False
    top = getattr(torch._C._autograd, '_top_saved_tensors_default_hooks', None)
    return top is None or top(False) is None


def recompute_contexts(
    parts: Iterable[nn.Module], wanted: bool
) -> tuple[Callable[[], AbstractContextManager], ...]:
    """Give the context around all parts of a backbone, and around each.

    FSDP frees a part's weights behind it, and what needs them can be made
    again within that part only. A prefetch of FSDP1 gives them back, but on
    another stream.
    """
    if not (wanted and _can_recompute()):
        return nullcontext, nullcontext
    if any(
        hasattr(part, 'unshard') or hasattr(part, '_fsdp_wrapped_module')
        for part in parts
    ):
        return nullcontext, recompute_elementwise
    return recompute_elementwise, nullcontext


def recompute_forward(model: nn.Module) -> None:
    """Let a model's forward passes save expensive tensors only, from now on.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
        >>> recompute_forward(net)
        >>> net(torch.rand(1, 3, 2, 2)).sum().backward()
    """
    stack = ExitStack()

    def enter(*args) -> None:
        if _can_recompute():
            stack.enter_context(recompute_elementwise())

    model.register_forward_pre_hook(enter)
    model.register_forward_hook(lambda *args: stack.close(), always_call=True)
