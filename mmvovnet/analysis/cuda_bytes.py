"""The bytes of a training step on CUDA, computed without a GPU.

Tensors are fake: they have a shape and a type, but no values. They call
themselves CPU tensors, as autograd's engine asks other devices for a driver;
where CUDA has rules of its own, those hold.
"""

import copy
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map, tree_map_

from mmvovnet.models.osa import OSAModule

# What CUDA's autocast makes in float32, and the CPU's does not.
_FLOAT32 = {
    F.group_norm,
    F.layer_norm,
    torch.exp,
    Tensor.exp,
    torch.softmax,
    Tensor.softmax,
    F.softmax,
    F.interpolate,
}
_BLOCK = 512  # CUDA's allocator hands out multiples of it


@dataclass
class CudaBytes:
    """Bytes of a training step.

    Attributes:
        kept (int): Held for the backward pass when the forward pass ends, the
            batch included.
        peak (int): The most that lives at once, gradients included, beyond
            what lives between steps.
        resident (int): What lives between steps: parameters, buffers,
            momentum and the batch.
    """

    kept: int
    peak: int
    resident: int

    @property
    def total(self) -> int:
        """The memory that a step needs."""
        return self.resident + self.peak


class _Allocations(TorchDispatchMode):
    """Bytes of the storages that live, and the most of them."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self.seen: weakref.WeakSet = weakref.WeakSet()

    def add(self, value: Any) -> None:
        if not isinstance(value, Tensor):
            return
        storage = value.untyped_storage()
        if storage not in self.seen:
            self.seen.add(storage)
            size = -(-storage.nbytes() // _BLOCK) * _BLOCK
            self.bytes += size
            self.peak = max(self.peak, self.bytes)
            weakref.finalize(storage, self.drop, size)

    def drop(self, size: int) -> None:
        self.bytes -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outs = func(*args, **(kwargs or {}))
        tree_map_(self.add, outs)
        return outs


class _CudaAutocast(TorchFunctionMode):
    """Make in float32 what CUDA's autocast does."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _FLOAT32 and torch.is_autocast_enabled('cpu'):
            args, kwargs = tree_map(_float32, (args, kwargs))
        return func(*args, **kwargs)


def _float32(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype.itemsize == 2
    return value.float() if half and value.is_floating_point() else value


@contextmanager
def _rules_of_cuda() -> Iterator[None]:
    with mock.patch.object(OSAModule, 'sum_devices', ()), _CudaAutocast():
        yield


def _make_fake(model: nn.Module, mode: FakeTensorMode) -> None:
    """Put fake parameters and buffers in the places of a model's."""
    for module in model.modules():
        for name, p in module._parameters.items():
            if p is not None:
                fake = mode.from_tensor(p.detach())
                module._parameters[name] = nn.Parameter(fake, p.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = mode.from_tensor(buffer)


def cuda_bytes(
    model: nn.Module,
    shape: tuple[int, int, int, int],
    dtype: torch.dtype = torch.float32,
) -> CudaBytes:
    """Compute what a training step of SGD with momentum takes on CUDA.

    cuDNN's workspaces, fragmentation, CUDA's context and what the loss itself
    makes are not in it.

    Args:
        model (nn.Module): A model that returns tensors, without branches that
            depend on values.
        shape (tuple[int, int, int, int]): Of the batch, ``(N, C, H, W)``.
        dtype (torch.dtype): That of autocast. Defaults to ``torch.float32``,
            no autocast.

    Returns:
        CudaBytes: The bytes.

    Example:
        >>> conv = nn.Conv2d(3, 8, 1)
        >>> cuda_bytes(conv, (2, 3, 64, 64))
        CudaBytes(kept=98816, peak=263168, resident=100352)
    """
    model = copy.deepcopy(model)
    model.train()  # mmpretrain's returns nothing
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, _rules_of_cuda():
        _make_fake(model, mode)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, 0.01, momentum=0.9)
        x = torch.rand(shape)
        _step(model, optimizer, x, dtype, _Allocations())  # makes momentum
        optimizer.zero_grad()
        gc.collect()
        allocations = _Allocations()
        state = [s['momentum_buffer'] for s in optimizer.state.values()]
        for tensor in [*model.parameters(), *model.buffers(), *state, x]:
            allocations.add(tensor)
        resident = allocations.bytes
        kept = _step(model, optimizer, x, dtype, allocations)
        batch = x.untyped_storage().nbytes()
        return CudaBytes(
            kept - resident + batch, allocations.peak - resident, resident
        )


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    dtype: torch.dtype,
    allocations: _Allocations,
) -> int:
    """A step; return the bytes that live between forward and backward."""
    with allocations:
        with torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
            outs = model(x)
        outs = [outs] if isinstance(outs, Tensor) else list(outs)
        # Sums, for their backward pass needs no values.
        loss = torch.stack([out.float().sum() for out in outs]).sum()
        del outs
        kept = allocations.bytes
        loss.backward()
        optimizer.step()
    return kept
