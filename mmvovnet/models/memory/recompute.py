"""Training with fewer saved activations.

Two ways, both with the plain mode's outputs, gradients and statistics:

- :func:`recompute_elementwise` keeps what convs put out and, in the backward
  pass, repeats what is cheap: norm, activation, concatenation, gate. It keeps
  less than half of the bytes, and a step takes 1.02 to 1.04 times as long.
- :func:`.checkpointing.checkpoint_module` keeps a module's input only and
  repeats all of it, convs too: less memory still, for about a third more
  time. Both together keep least.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from .recorder import PAUSED, Recorder


@contextmanager
def recompute_elementwise() -> Iterator[None]:
    """Let the forward pass inside save no tensor that is cheap to recompute.

    Autograd saves, for a conv, norm and activation, the conv's output, and
    the activation's as well: as its own result, as the next conv's input and
    in a concatenation. Here only the conv's output is kept. Whatever norms,
    pointwise ops, casts and concatenations made of it is replaced by a recipe
    that makes it again when the backward pass asks for it. Batch statistics
    are those of the forward pass: a SyncBN does not communicate again, and
    running statistics are not touched. A conv of few multiply-adds, such as an
    image's, and a max pool, whose indices are kept in few bits, are repeated
    as well. Results of unknown ops are kept, and so is every other addition:
    else the last one would reach back through all modules.

    There is no double backward.

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
        with saved_tensors_hooks(recorder.pack, recorder.unpack), recorder:
            yield
    finally:
        recorder.recipes.clear()


@contextmanager
def recording_paused() -> Iterator[None]:
    """Let :func:`recompute_elementwise` around it record nothing."""
    token = PAUSED.set(True)
    try:
        yield
    finally:
        PAUSED.reset(token)


def can_recompute() -> bool:
    """Whether :func:`recompute_elementwise` saves memory in this forward pass.

    It does not without gradients, in a trace, or in a compiled model, whose
    compiler recomputes by itself. Nor does it under other hooks on saved
    tensors: a checkpoint around the model keeps only its input, and hooks
    inside it would keep more.
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
    parts: Iterable[nn.Module], wanted: bool = True
) -> tuple[Callable[[], AbstractContextManager], ...]:
    """Choose where a backbone of several parts enters the recomputation.

    FSDP frees a part's weights behind it, and what needs them can be made
    again within that part only. A prefetch of FSDP1 gives them back, but on
    another stream.

    Args:
        parts (Iterable[nn.Module]): The parts, such as stages.
        wanted (bool): Whether to recompute at all. Defaults to True.

    Returns:
        tuple[Callable, Callable]: The context around all parts, and the one
        around each.
    """
    if not (wanted and can_recompute()):
        return nullcontext, nullcontext
    if any(
        hasattr(part, 'unshard') or hasattr(part, '_fsdp_wrapped_module')
        for part in parts
    ):
        return nullcontext, recompute_elementwise
    return recompute_elementwise, nullcontext


def recompute_forward(model: nn.Module) -> None:
    """Let a model's forward passes save expensive tensors only, from now on.

    Args:
        model (nn.Module): Any model, such as a detector with neck and head.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
        >>> recompute_forward(net)
        >>> net(torch.rand(1, 3, 2, 2)).sum().backward()
    """
    entered: list[AbstractContextManager] = []

    def enter(*args) -> None:
        if can_recompute():
            entered.append(recompute_elementwise())
            entered[-1].__enter__()

    def leave(*args) -> None:
        if entered:
            entered.pop().__exit__(None, None, None)

    model.register_forward_pre_hook(enter)
    model.register_forward_hook(leave, always_call=True)
