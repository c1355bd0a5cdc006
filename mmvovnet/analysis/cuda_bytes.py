"""The bytes of a training step on CUDA, computed without a GPU.

Tensors are fake: they have a shape and a type, but no values. Their device is
the CPU, as autograd's engine wants a driver for others; where CUDA's rules
differ, CUDA's hold.
"""

import copy
import gc
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from mmvovnet.models.osa import OSAModule

from .cost import Allocations, sum_outputs

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
