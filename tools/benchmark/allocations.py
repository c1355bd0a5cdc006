"""The bytes of tensors that live in a training step, counted as they come."""

import copy
import gc
import weakref
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

# What CUDA's autocast computes in float32, and the CPU's does not.
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


class Allocations(TorchDispatchMode):
    """The bytes of living storages, and the most of them at once.

    It counts the results of ops and what :meth:`add` names, and keeps none
    alive.

    Args:
        block (int): An allocation takes a multiple of it. Defaults to 1.
    """

    def __init__(self, block: int = 1) -> None:
        super().__init__()
        self.block = block
        self.bytes = self.peak = 0
        self.seen: weakref.WeakSet = weakref.WeakSet()

    def add(self, value: Any) -> None:
        """Count a tensor's storage, unless it is counted."""
        if not isinstance(value, Tensor):
            return
        storage = value.untyped_storage()
        if storage not in self.seen:
            self.seen.add(storage)
            size = -(-storage.nbytes() // self.block) * self.block
            self.bytes += size
            self.peak = max(self.peak, self.bytes)
            weakref.finalize(storage, self._drop, size)

    def _drop(self, size: int) -> None:
        self.bytes -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outs = func(*args, **(kwargs or {}))
        tree_map_(self.add, outs)
        return outs


def sum_outputs(outs: Any) -> Tensor:
    """Add a model's outputs: the backward pass of sums needs no values."""
    outs = [outs] if isinstance(outs, Tensor) else outs
    return torch.stack([out.float().sum() for out in outs]).sum()


def saved_bytes(model: nn.Module, x: Tensor) -> int:
    """Count the bytes that a forward pass keeps for the backward pass.

    Each storage counts once, however many views and nodes share it, the
    batch's too. Parameters and buffers do not count.

    Args:
        model (nn.Module): A model that returns a tensor or several.
        x (Tensor): A batch of shape (N, C, H, W).

    Example:
        >>> x = torch.rand(2, 3, 8, 8)
        >>> saved_bytes(nn.Conv2d(3, 8, 1), x) == 4 * x.numel()
        True
    """
    allocations = Allocations()
    for tensor in [*model.parameters(), *model.buffers()]:
        allocations.add(tensor)
    own = allocations.bytes
    with allocations:
        loss = sum_outputs(model(x.clone()))
    return allocations.bytes - own - loss.untyped_storage().nbytes()


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


class _CudaAutocast(TorchFunctionMode):
    """Compute in float32 what CUDA's autocast does."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _FLOAT32 and torch.is_autocast_enabled('cpu'):
            args, kwargs = tree_map(_float32, (args, kwargs))
        return func(*args, **kwargs)


def _float32(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype.itemsize == 2
    return value.float() if half and value.is_floating_point() else value


def _make_fake(model: nn.Module, mode: FakeTensorMode) -> None:
    """Replace a model's parameters and buffers by fake ones."""
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

    No GPU is needed: the tensors are fake, with a shape and a type and no
    values. Their device is the CPU, as autograd's engine wants a driver for
    others; where CUDA's rules differ, CUDA's hold.
    cuDNN's workspaces, fragmentation, CUDA's context and the loss itself are
    not counted.

    Args:
        model (nn.Module): A model that returns tensors, without branches that
            depend on values.
        shape (tuple[int, int, int, int]): Of the batch, ``(N, C, H, W)``.
        dtype (torch.dtype): That of autocast. Defaults to ``torch.float32``,
            no autocast.

    Example:
        >>> conv = nn.Conv2d(3, 8, 1)
        >>> cuda_bytes(conv, (2, 3, 64, 64))
        CudaBytes(kept=98816, peak=263168, resident=100352)
    """
    model = copy.deepcopy(model)
    model.train()  # mmpretrain's returns nothing
    with (
        FakeTensorMode(allow_non_fake_inputs=True) as mode,
        mock.patch.object(OSAModule, 'sum_devices', ()),
        _CudaAutocast(),
    ):
        _make_fake(model, mode)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, 0.01, momentum=0.9)
        x = torch.rand(shape)
        _step(model, optimizer, x, dtype, Allocations())  # makes momentum
        optimizer.zero_grad()
        gc.collect()
        allocations = Allocations(_BLOCK)
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
    allocations: Allocations,
) -> int:
    """Train a step; return the bytes between forward and backward pass."""
    with allocations:
        with torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
            outs = model(x)
        loss = sum_outputs(outs)
        del outs
        kept = allocations.bytes
        loss.backward()
        optimizer.step()
    return kept
