"""Convs and One-Shot Aggregation by kernels of this package, on CPUs."""

import logging
from typing import Any, TypeGuard

import torch
from mmcv.cnn import ConvModule
from mmengine.logging import print_log
from torch import nn

from mmvovnet.models.layers import mmcv_ops
from mmvovnet.models.osa import OSAModule
from mmvovnet.processor import has_bfloat16

from ..folding import Model, fuse
from .library import load_kernels
from .packed import AggregateConv2d, PackedOSAModule, WinogradConv2d


def accelerate(model: Model) -> Model:
    """Fold a model, and let kernels of this package do its convs on a CPU.

    3x3 convs of stride 1 are done by Winograd's method (arXiv 1509.09308),
    with a quarter of the multiplications, and the aggregation of an OSA
    module reads the layers' outputs where they are, without concatenating
    them. Outputs differ from the model's by rounding: see docs/deploy.md.

    The kernels are compiled on first use, in about ten seconds, and kept in
    ``~/.cache/mmvovnet``; without a C++ compiler a warning is logged and the
    model is just folded. They work in float32 on a CPU; where a gradient is
    wanted, under autocast and while a model is exported, PyTorch's own run.
    A model in another precision or on a GPU is just folded. Their transformed
    weights take four times the memory of the 3x3 convs' weights.

    Args:
        model (nn.Module): A backbone, detector or classifier in eval mode. It
            is not changed.

    Returns:
        nn.Module: A new model, as :func:`fuse` gives it, with the same state
        dict.

    Raises:
        ValueError: If the model can't be folded, see :func:`fuse`, or has
            compiled ops of mmcv, such as RoI align, which give wrong results
            in the channels-last layout that the kernels put out.
    """
    if has_bfloat16():
        print_log(
            'accelerate: the kernels work in float32, and this CPU has '
            'instructions for bfloat16 and int8, by which OpenVINO is faster: '
            '`tools/export.py CONFIG CHECKPOINT --format openvino --int8`, or '
            'without --int8, and load_exported(FILE, bfloat16=True)',
            'current',
        )
    model = fuse(model)
    for name, op in mmcv_ops(model):
        raise ValueError(
            f"can't accelerate '{name}': {type(op).__name__} of mmcv gives "
            'wrong results in the channels-last layout; fuse(model) works'
        )
    kinds = {(p.device.type, p.dtype) for p in model.parameters()}
    if others := kinds - {('cpu', torch.float32)}:
        print_log(
            f'accelerate: the model holds weights of {others}, and the '
            'kernels work in float32 on a CPU, so it is just folded',
            logger='current',
            level=logging.WARNING,
        )
    elif load_kernels():
        for module in list(model.modules()):
            _replace_convs(module)
    return model


def _replace_convs(module: nn.Module) -> None:
    for name, child in module.named_children():
        if _is_winograd(child):
            activate = name == 'conv' and _take_relu(module)
            setattr(module, name, WinogradConv2d(child, activate))
    if isinstance(module, OSAModule):
        unit = module.aggregate
        if type(unit.conv) is nn.Conv2d and unit.conv.out_channels % 16 == 0:
            unit.conv = AggregateConv2d(unit.conv, _take_relu(unit))
            module.__class__ = PackedOSAModule


def _is_winograd(conv: Any) -> TypeGuard[nn.Conv2d]:
    return (
        type(conv) is nn.Conv2d
        and conv.kernel_size == (3, 3)
        and conv.stride == conv.dilation == conv.padding == (1, 1)
        and conv.padding_mode == 'zeros'
        and conv.groups == 1
        and conv.in_channels % 16 == conv.out_channels % 16 == 0
    )


def _take_relu(unit: Any) -> bool:
    """Whether a ReLU followed a unit's conv, which does it from now on."""
    taken = (
        isinstance(unit, ConvModule)
        and unit.with_activation
        and not unit.with_norm
        and unit.order.index('conv') < unit.order.index('act')
        and type(unit.activate) is nn.ReLU
    )
    if taken:
        unit.with_activation = False
    return taken
