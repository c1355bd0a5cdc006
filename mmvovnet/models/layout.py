"""Memory layouts."""

from collections.abc import Iterator

from torch import nn


def mmcv_ops(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Paths and modules of mmcv's compiled ops, such as deformable convs.

    They read a map in channels-last order as if it were in the usual one,
    and give wrong results without an error.

    Example:
        >>> list(mmcv_ops(nn.Sequential(nn.Conv2d(3, 8, 3))))
        []
    """
    for name, module in model.named_modules():
        if type(module).__module__.startswith('mmcv.ops'):
            yield name, module
