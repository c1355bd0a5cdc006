"""How to recompute a tensor: what :mod:`.recompute` notes and follows."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
T = TypeVar('T')

# Batch norms return (output, batch mean, batch inverse deviation, ...), and
# their sixth argument is the training mode.
_BATCH_NORMS = (
    aten.native_batch_norm.default,
    aten.cudnn_batch_norm.default,
    aten.miopen_batch_norm.default,
)
_CAST = aten._to_copy.default  # by autocast
_MAX_POOL = aten.max_pool2d_with_indices.default
# Ops that are repeated, in addition to pointwise ones.
_CHEAP = {
    *_BATCH_NORMS,
    _MAX_POOL,
    aten.batch_norm_elemt.default,  # SyncBN, its statistics gathered
    aten.native_group_norm.default,
    aten.cat.default,
    _CAST,
}
# So is a conv of no more multiply-adds a value, of an image or depthwise. A
# 1x1 conv is not: it would reach back through chains of them.
_CHEAP_MACS = 32
# Where fewer bytes than these are at stake, launches count more.
SMALL_BYTES = 2**24
# SyncBN's op normalises in one launch, and has a kernel here.
_FUSED_NORM_DEVICES = {'cuda'}

_PAUSED: ContextVar[bool] = ContextVar('paused', default=False)


@contextmanager
def recording_paused() -> Iterator[None]:
    """Record nothing inside."""
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


@dataclass(slots=True, eq=False)
class _Recipe:
    """A tensor that can be recomputed: an op and the recipes of its inputs."""

    func: Callable
    args: list
    kwargs: dict
    inplace: bool = False
    value: Callable[[], Tensor | None] = lambda: None
    adds: bool = field(init=False)

    def __post_init__(self) -> None:
        self.adds = self.func is aten.add.Tensor or any(
            recipe.adds for recipe in _leaves(self.args, _Recipe)
        )

    def __call__(self) -> Tensor:
        value = self.value()
        if value is None:
            value = self.make()
            self.value = weakref.ref(value)
        return value

    def make(self) -> Tensor:
        first, *rest = self.args
        # In place on a copy that nobody else sees.
        first = first.make() if self.inplace else _serve(first)
        out = self.func(first, *_serve(rest), **self.kwargs)
        return out[0] if isinstance(out, tuple) else out


def _map(value: Any, kind: Any, function: Callable) -> Any:
    """Replace what is of a kind, in lists too: faster than PyTorch's."""
    if isinstance(value, list | tuple):
        return [_map(item, kind, function) for item in value]
    return function(value) if isinstance(value, kind) else value


def _serve(sources: Any) -> Any:
    return _map(sources, _Kept | _Recipe, lambda source: source())


def _normalise(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    invstd: Tensor,
) -> Tensor:
    if x.device.type in _FUSED_NORM_DEVICES:
        return torch.batch_norm_elemt(x, weight, bias, mean, invstd, 0)
    # Evaluation mode with a unit deviation: bit-equal to training mode on
    # CPU, where both scale by weight * invstd.
    scale = invstd if weight is None else weight * invstd
    one = torch.ones_like(mean)
    return torch.native_batch_norm(x, scale, bias, mean, one, False, 0, 0)[0]


def _pool(x: Tensor, indices: Tensor) -> Tensor:
    out = x.flatten(-2).gather(-1, indices.flatten(-2))
    again = torch.empty_like(indices, dtype=x.dtype)  # in the same layout
    return again.copy_(out.view(indices.shape))


def _leaves(args: Any, kind: type[T]) -> Iterator[T]:
    for arg in args:
        if isinstance(arg, kind):
            yield arg
        elif isinstance(arg, list | tuple):
            yield from _leaves(arg, kind)


def _is_cheap(func: Any, args: tuple, sources: list) -> bool:
    if func is aten.add.Tensor:
        recipes = [*_leaves(sources, _Recipe)]
        return bool(recipes) and not any(r.adds for r in recipes)
    if func is aten.convolution.default:
        kernel = args[1].shape[2:].numel()
        return kernel > 1 and args[1][0].numel() <= _CHEAP_MACS
    return func in _CHEAP or (
        torch.Tag.pointwise in func.tags
        and torch.Tag.nondeterministic_seeded not in func.tags
    )


def _layout(tensor: Tensor) -> tuple:
    return tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


class Recorder(TorchDispatchMode):
    """Write recipes while ops run below autograd and autocast."""

    def __init__(self) -> None:
        super().__init__()
        # A weak reference to a storage keeps its address from being reused.
        self.recipes: dict[StorageWeakRef, tuple[tuple, _Recipe]] = {}
        self.last: Tensor | None = None
        self.parts: list[Tensor] = []  # of the last concatenation

    def find(self, tensor: Tensor) -> _Kept | _Recipe:
        """Give the recipe of a tensor, or the tensor if there is none."""
        key = StorageWeakRef(tensor.untyped_storage())
        if key in self.recipes:
            layout, recipe = self.recipes[key]
            if layout == _layout(tensor):
                return recipe
        return _Kept(tensor)

    def unpack(self, source: _Kept | _Recipe) -> Tensor:
        """Recompute a tensor, for the backward pass."""
        if torch.is_grad_enabled():
            raise RuntimeError(
                'recomputed activations have no double backward '
                '(create_graph=True); build the model without '
                'memory_efficient=True for it'
            )
        if isinstance(source, _Kept):
            return source()
        first = source.args[0]
        if source.func is aten.cat.default:
            parts = _serve(first)  # convs ask for them one by one
            tensor = source()
            self.parts = parts if tensor.nbytes <= SMALL_BYTES else []
            return tensor
        # A conv asks for its input right before the activation that made it
        # asks for the same tensor: do not make it twice. In between the conv
        # asks for its weight, which autocast has cast.
        tensor = source()
        if not (source.func is _CAST and isinstance(first, _Kept)):
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
        if not _PAUSED.get() and any(
            t.requires_grad for t in _leaves(args, Tensor)
        ):
            sources = _map(args, Tensor, self.find)
            if not _is_cheap(func, args, sources):
                sources = None
        if inplace:  # what is written to is no longer what was recorded
            for tensor in _leaves(args, Tensor):
                self.recipes.pop(
                    StorageWeakRef(tensor.untyped_storage()), None
                )
        outs = func(*args, **kwargs)
        # An in-place op repeats only if its input can be made again.
        if sources and not (inplace and isinstance(sources[0], _Kept)):
            self._record(func, args, sources, kwargs, inplace, outs)
        return outs

    def _record(
        self,
        func: Any,
        args: tuple,
        sources: list,
        kwargs: dict,
        inplace: bool,
        outs: Any,
    ) -> None:
        out = outs[0] if isinstance(outs, tuple) else outs
        if func in _BATCH_NORMS and sources[5]:  # in training mode
            statistics = [_Kept(outs[1]), _Kept(outs[2])]
            recipe = _Recipe(_normalise, sources[:3] + statistics, {})
        elif func is _MAX_POOL:
            # Indices in 64 bits are twice the pool's output.
            short = args[0].shape[-2:].numel() <= torch.iinfo(torch.int16).max
            few = outs[1].to(torch.int16 if short else torch.int32)
            indices = _Recipe(Tensor.long, [_Kept(few)], {})
            self._add(outs[1], indices)
            recipe = _Recipe(_pool, [sources[0], indices], {})
        else:
            recipe = _Recipe(func, sources, kwargs, inplace)
        self._add(out, recipe)

    def _add(self, out: Tensor, recipe: _Recipe) -> None:
        key = StorageWeakRef(out.untyped_storage())
        self.recipes[key] = (_layout(out), recipe)
