"""The cost of a model, counted: the same on every machine."""

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_


@dataclass
class Cost:
    """Cost of one image.

    Attributes:
        parameters (int): Parameters.
        macs (int): Multiply-accumulates of convs and linear layers: what the
            paper calls FLOPs. fvcore, and figures made with it, add two per
            value that a norm puts out, 0.2% for V-39.
        activations (int): Values that convs and linear layers put out.
        memory_access (int): Values that they read and write: Eq. 1 of arXiv
            1904.09730, hw(ci + co) + k^2 ci co, summed. With a stride, the
            input and the output have an hw of their own.
    """

    parameters: int = 0
    macs: int = 0
    activations: int = 0
    memory_access: int = 0


@torch.no_grad()
def count_cost(model: nn.Module, shape: tuple[int, int, int]) -> Cost:
    """Count what one image costs a model.

    Args:
        model (nn.Module): The model; it may be on the meta device.
        shape (tuple[int, int, int]): Channels, height and width of the image.

    Returns:
        Cost: The counts, exact.

    Example:
        >>> cost = count_cost(nn.Conv2d(8, 16, 3, padding=1), (8, 10, 10))
        >>> cost.macs, cost.memory_access
        (115200, 3552)
    """
    parameters = list(model.parameters())
    cost = Cost(sum(p.numel() for p in parameters))

    def count(module: Any, inputs: tuple, out: Tensor) -> None:
        weight = module.weight
        # A transposed conv applies its weight once per input position.
        values = inputs[0] if getattr(module, 'transposed', False) else out
        cost.macs += values.numel() * weight[0].numel()
        cost.activations += out.numel()
        cost.memory_access += inputs[0].numel() + out.numel() + weight.numel()

    # Deformable convs are no subclass of nn.Conv2d, but look like one.
    handles = [
        module.register_forward_hook(count)
        for module in model.modules()
        if isinstance(module, nn.Linear) or hasattr(module, 'kernel_size')
        if getattr(module, 'weight', None) is not None
    ]
    training = model.training
    try:
        model.eval()
        model(torch.zeros(1, *shape, device=parameters[0].device))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return cost


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
