"""Training with fewer saved activations.

Two ways, both with the plain mode's outputs, gradients and statistics:

- :func:`recompute_elementwise` keeps what convs put out and, in the backward
  pass, repeats what is cheap: norm, activation, concatenation, gate. It keeps
  less than half of the bytes, and a step takes 1.02 to 1.04 times as long.
- :func:`.checkpointing.checkpoint_module` keeps a module's input only and
  repeats all of it, convs too: less memory still, for about a third more
  time. Both together keep least.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

# Batch norms return (output, batch mean, batch inverse deviation, ...), and
# their sixth argument tells training mode.
_BATCH_NORMS = (
    aten.native_batch_norm.default,
    aten.cudnn_batch_norm.default,
    aten.miopen_batch_norm.default,
)
# Ops that are repeated, beside pointwise ones. Of a pool the indices could be
# made again too, which would save 4% of the memory and cost 4% of the time.
_CHEAP = {
    *_BATCH_NORMS,
    aten.batch_norm_elemt.default,  # SyncBN, its statistics gathered
    aten.native_group_norm.default,
    aten.cat.default,
    aten._to_copy.default,  # autocast
}


_PAUSED: ContextVar[bool] = ContextVar('paused', default=False)


@contextmanager
def recompute_elementwise() -> Iterator[None]:
    """Let the forward pass inside save no tensor that is cheap to make again.

    Autograd saves, for a conv, norm and activation, the conv's output, and
    the activation's as well: as its own result, as the next conv's input and
    in a concatenation. Here only the conv's output is kept. Whatever norms,
    pointwise ops, casts and concatenations made of it is replaced by a recipe
    that makes it again when the backward pass asks for it. Batch statistics
    are those of the forward pass: a SyncBN does not communicate again, and
    running statistics are not touched. Results of unknown ops, and those of
    additions, which would reach back through all modules before, are kept.

    There is no double backward.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
        >>> with recompute_elementwise():
        ...     out = net(torch.rand(1, 3, 2, 2))
        >>> out.sum().backward()
    """
    recorder = _Recorder()
    try:
        with saved_tensors_hooks(recorder.pack, recorder.unpack), recorder:
            yield
    finally:
        recorder.recipes.clear()


@contextmanager
def paused() -> Iterator[None]:
    """Let :func:`recompute_elementwise` around it record nothing."""
    token = _PAUSED.set(True)
    try:
        yield
    finally:
        _PAUSED.reset(token)


class _Kept:
    """A tensor that is kept, watched for changes as autograd does itself."""

    __slots__ = ('tensor', 'version')

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.version = tensor._version

    def __call__(self) -> Tensor:
        if self.tensor.numel() and not self.tensor.untyped_storage().size():
            raise RuntimeError(
                f'a weight of shape {tuple(self.tensor.shape)} that the '
                'backward pass needs was freed after the forward pass, as by '
                'FSDP: shard whole stages, or build the model without '
                'memory_efficient=True'
            )
        if self.tensor._version != self.version:
            raise RuntimeError(
                f'a tensor of shape {tuple(self.tensor.shape)} that the '
                'backward pass needs was changed in place after the forward '
                'pass; change a copy of it instead'
            )
        return self.tensor


class _Recipe:
    """A tensor that can be made again: an op and the recipes of its inputs."""

    __slots__ = ('args', 'func', 'inplace', 'kwargs', 'value')

    def __init__(
        self,
        func: Callable,
        args: list,
        kwargs: dict,
        inplace: bool = False,
    ) -> None:
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.inplace = inplace
        self.value: Callable[[], Tensor | None] = lambda: None

    def __call__(self) -> Tensor:
        value = self.value()
        if value is None:
            value = self.make()
            self.value = weakref.ref(value)
        return value

    def make(self) -> Tensor:
        args = [_serve(arg) for arg in self.args]
        if self.inplace:  # on a copy that nobody else sees
            args[0] = self.args[0].make()
        out = self.func(*args, **self.kwargs)
        return out[0] if isinstance(out, tuple) else out


def _serve(source: Any) -> Any:
    if isinstance(source, list):
        return [_serve(item) for item in source]
    return source() if isinstance(source, _Kept | _Recipe) else source


def _normalise(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    invstd: Tensor,
) -> Tensor:
    # Evaluation mode with a unit deviation: bit-equal to training mode on
    # CPU, where both scale by weight * invstd.
    scale = invstd if weight is None else weight * invstd
    one = torch.ones_like(mean)
    return torch.native_batch_norm(x, scale, bias, mean, one, False, 0, 0)[0]


def _tensors(args: Any) -> Iterator[Tensor]:
    for arg in args:
        if isinstance(arg, Tensor):
            yield arg
        elif isinstance(arg, list | tuple):
            yield from _tensors(arg)


def _is_cheap(func: Any) -> bool:
    if func is aten.add.Tensor:
        return False
    return func in _CHEAP or (
        torch.Tag.pointwise in func.tags
        and torch.Tag.nondeterministic_seeded not in func.tags
    )


def _layout(tensor: Tensor) -> tuple:
    return tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


class _Recorder(TorchDispatchMode):
    """Write recipes while ops run below autograd and autocast."""

    def __init__(self) -> None:
        super().__init__()
        # A weak reference to a storage keeps its address from being reused.
        self.recipes: dict[StorageWeakRef, tuple[tuple, _Recipe]] = {}
        self.last: Tensor | None = None

    def find(self, tensor: Tensor) -> _Kept | _Recipe:
        key = StorageWeakRef(tensor.untyped_storage())
        layout, recipe = self.recipes.get(key, (None, None))
        return recipe if layout == _layout(tensor) else _Kept(tensor)

    pack = find

    def unpack(self, source: _Kept | _Recipe) -> Tensor:
        if torch.is_grad_enabled():
            raise RuntimeError(
                'recomputed activations have no double backward '
                '(create_graph=True); build the model without '
                'memory_efficient=True for it'
            )
        tensor = source()
        if isinstance(source, _Recipe):
            # A conv asks for its input right before the activation that made
            # it asks for the same tensor: do not make it twice.
            self.last = tensor
        return tensor

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple = (),
        kwargs: dict | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        inplace = func._schema.is_mutable
        sources = None
        if (
            not _PAUSED.get()
            and _is_cheap(func)
            and any(t.requires_grad for t in _tensors(args))
        ):
            sources = [self._source(arg) for arg in args]
        if inplace:  # what is written to is no longer what was recorded
            for tensor in _tensors(args):
                self.recipes.pop(
                    StorageWeakRef(tensor.untyped_storage()), None
                )
        outs = func(*args, **kwargs)
        # An in-place op repeats only if its input can be made again.
        if sources and not (inplace and isinstance(sources[0], _Kept)):
            self._record(func, sources, kwargs, inplace, outs)
        return outs

    def _source(self, arg: Any) -> Any:
        if isinstance(arg, Tensor):
            return self.find(arg)
        if isinstance(arg, list | tuple):
            return [self._source(item) for item in arg]
        return arg

    def _record(
        self, func: Any, sources: list, kwargs: dict, inplace: bool, outs: Any
    ) -> None:
        if func in _BATCH_NORMS and sources[5]:  # in training mode
            statistics = [_Kept(outs[1]), _Kept(outs[2])]
            recipe = _Recipe(_normalise, sources[:3] + statistics, {})
        else:
            recipe = _Recipe(func, sources, kwargs, inplace)
        out = outs[0] if isinstance(outs, tuple) else outs
        key = StorageWeakRef(out.untyped_storage())
        self.recipes[key] = (_layout(out), recipe)


def saved_tensors_are_hooked() -> bool:
    """Whether what autograd saves now goes to somebody's hooks.

    Such as those of a checkpoint around the model, which keeps nothing but
    its input: hooks inside would take its place and keep more.
    """
    top = getattr(torch._C._autograd, '_top_saved_tensors_default_hooks', None)
    return top is not None and top(False) is not None
