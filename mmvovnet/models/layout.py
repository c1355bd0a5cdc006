"""Memory layouts."""

from torch import nn


def needs_usual_layout(model: nn.Module) -> tuple[str, str] | None:
    """Path and class of what gives wrong results in channels-last order.

    mmcv's compiled ops, such as deformable convs and RoI align, read a map in
    that order as if it were in the usual one, without an error.

    Example:
        >>> needs_usual_layout(nn.Sequential(nn.Conv2d(3, 8, 3)))
    """
    for name, module in model.named_modules():
        if type(module).__module__.startswith('mmcv.ops'):
            return name, type(module).__name__
    return None
