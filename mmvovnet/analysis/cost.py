"""The cost of a model, counted: the same on every machine."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Cost:
    """Cost of one image.

    Attributes:
        parameters: Parameters.
        macs: Multiply-accumulates of convs and linear layers, which the paper
            calls FLOPs. fvcore adds two per output of a norm, 0.2% for V-39.
        activations: Values that convs and linear layers put out.
        memory_access: Values that they read and write: Eq. 1 of arXiv
            1904.09730, hw(ci + co) + k^2 ci co, summed. With a stride, the
            input and the output have an hw of their own.
    """

    parameters: int = 0
    macs: int = 0
    activations: int = 0
    memory_access: int = 0


@torch.no_grad()
def count_cost(model: nn.Module, shape: tuple[int, int, int]) -> Cost:
    """Count what one image costs a model, exactly.

    Args:
        model (nn.Module): The model; it may be on the meta device.
        shape (tuple[int, int, int]): Channels, height and width of the image.

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
