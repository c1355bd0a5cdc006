"""The cost of a model, counted: the same on every machine."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode


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
        model (nn.Module): The model; a copy on the meta device does as well.
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


class _Storages(TorchDispatchMode):
    """Note every storage that an op allocates, and keep none alive."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outs = func(*args, **(kwargs or {}))
        for out in outs if isinstance(outs, tuple | list) else [outs]:
            if isinstance(out, Tensor):
                storage = out.untyped_storage()
                self.sizes[StorageWeakRef(storage)] = storage.nbytes()
        return outs

    def alive(self) -> dict[StorageWeakRef, int]:
        return {s: n for s, n in self.sizes.items() if not s.expired()}


def saved_bytes(model: nn.Module, x: Tensor) -> int:
    """Count the bytes that a forward pass keeps for the backward pass.

    All storages are watched, and those alive when nothing but the loss is
    left are what autograd keeps: each once, however many views and nodes share
    it, the batch too. Parameters and buffers are not counted. Where saved
    tensor hooks see everything, as in plain PyTorch, they count the same;
    here it is right for checkpointing and recomputation as well.

    Args:
        model (nn.Module): A model that returns a tensor or several.
        x (Tensor): A batch of shape (N, C, H, W).

    Returns:
        int: The bytes.

    Example:
        >>> x = torch.rand(2, 3, 8, 8)
        >>> saved_bytes(nn.Conv2d(3, 8, 1), x) == 4 * x.numel()
        True
    """
    with _Storages() as storages:
        outs = model(x.clone())
        outs = [outs] if isinstance(outs, Tensor) else list(outs)
        # Sums, for their backward pass needs no values.
        loss = torch.stack([out.sum() for out in outs]).sum()
        del outs
    own = {
        StorageWeakRef(tensor.untyped_storage())
        for tensor in [*model.parameters(), *model.buffers(), loss]
    }
    return sum(n for s, n in storages.alive().items() if s not in own)
