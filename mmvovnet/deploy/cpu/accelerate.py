"""Convs and One-Shot Aggregation by kernels of this package, on CPUs."""

import logging
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch
from mmcv.cnn import ConvModule
from mmengine.logging import print_log
from torch import Tensor, nn

from mmvovnet.models.layout import needs_usual_layout
from mmvovnet.models.osa import OSAModule
from mmvovnet.processor import has_bfloat16

from ..folding import fuse
from .library import compile_once
from .packed import (
    AggregateConv2d,
    PackedConv2d,
    PackedOSAModule,
    WinogradConv2d,
)

Model = TypeVar('Model', bound=nn.Module)

# The instruction sets that the kernels are worth compiling for.
LEVELS = {'avx2': 'v3', 'avx512': 'v4'}
_FASTER = (
    'accelerate: the kernels work in float32, and this CPU has instructions '
    'for bfloat16 and int8, by which OpenVINO is faster: `tools/export.py '
    'CONFIG CHECKPOINT --format openvino --int8`, or without --int8, and '
    'load_exported(FILE, bfloat16=True)'
)


def accelerate(model: Model) -> Model:
    """Fold a model, and let kernels of this package do its convs on a CPU.

    3x3 convs of stride 1 are done by Winograd's method (arXiv 1509.09308),
    with a quarter of the multiplications, and the aggregation of an OSA
    module reads the layers' outputs where they are, without concatenating
    them. Outputs differ from the model's by rounding: see docs/deploy.md.

    The kernels are compiled on first use, in about ten seconds, and kept in
    ``~/.cache/mmvovnet``; without a C++ compiler a warning is logged and the
    model is just folded. They work in float32 on a CPU; where a gradient is
    wanted, under autocast and while a model is exported, PyTorch's own do.
    A model in another precision or on a GPU is just folded. Their transformed
    weights take four times the memory of the 3x3 convs' weights. On a CPU
    with instructions for bfloat16 a line says that OpenVINO is faster there.

    Args:
        model (nn.Module): A model in eval mode: a backbone, a detector, a
            classifier. It is not changed.

    Returns:
        nn.Module: A new model, as :func:`fuse` gives it, with the same state
        dict.

    Raises:
        ValueError: If the model can't be folded, see :func:`fuse`, or has
            compiled ops of mmcv, such as RoI align, which give wrong results
            in the channels-last layout that the kernels put out.
    """
    if has_bfloat16():
        print_log(_FASTER, 'current')
    model = fuse(model)
    if found := needs_usual_layout(model):
        name, kind = found
        raise ValueError(
            f"can't accelerate '{name}': {kind} of mmcv gives wrong results "
            'in the channels-last layout; fuse(model) works'
        )
    if not _is_for_kernels(model) or not load_kernels():
        return model
    for module in list(model.modules()):
        if isinstance(module, ConvModule) and _is_winograd(module.conv):
            _take(module, WinogradConv2d)
        elif isinstance(module, OSAModule) and _is_aggregate(module):
            _take(module.aggregate, AggregateConv2d)
            module.__class__ = PackedOSAModule
        else:
            for name, child in module.named_children():
                if _is_winograd(child):
                    setattr(module, name, WinogradConv2d(child))
    return model


@cache
def load_kernels() -> bool:
    """Load the kernels; compile them, if that was not done before.

    Returns:
        bool: Whether they can be used.
    """
    try:
        torch.ops.load_library(_compile())
    except (OSError, subprocess.CalledProcessError) as error:
        print_log(
            'accelerate: the kernels can not be used, so the model is just '
            f'folded: {getattr(error, "stderr", None) or error}',
            logger='current',
            level=logging.WARNING,
        )
        return False

    @torch.library.register_fake('mmvovnet::winograd')
    def _(x: Tensor, weight: Tensor, bias: Tensor, activate: bool) -> Tensor:
        return _empty(x, bias)

    @torch.library.register_fake('mmvovnet::aggregate')
    def _(
        xs: list[Tensor], weight: Tensor, bias: Tensor, activate: bool
    ) -> Tensor:
        return _empty(xs[0], bias)

    return True


def _compile() -> Path:
    capability = torch.backends.cpu.get_cpu_capability().lower()
    if capability not in LEVELS:
        raise OSError(
            'they need a CPU with AVX2 or AVX-512, and PyTorch finds '
            f"'{capability}'"
        )
    home = Path(torch.__file__).parent
    source = Path(__file__).with_name('kernels.cpp')
    command = [
        *os.environ.get('CXX', 'g++').split(),
        *('-std=c++20', '-O3', '-fopenmp', '-shared', '-fPIC'),
        f'-march=x86-64-{LEVELS[capability]}',
        f'-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}',
        f'-I{home / "include"}',
        f'-L{home / "lib"}',
        f'-Wl,-rpath,{home / "lib"}',
        str(source),
        *('-ltorch', '-ltorch_cpu', '-lc10'),
    ]
    return compile_once(command, source, torch.__version__)


def _is_for_kernels(model: nn.Module) -> bool:
    """Whether the weights are where the kernels work."""
    other = next(
        (
            f'{p.dtype} on {p.device}'
            for p in model.parameters()
            if p.device.type != 'cpu' or p.dtype != torch.float32
        ),
        None,
    )
    if other:
        print_log(
            f'accelerate: the model holds weights of {other}, and the kernels '
            'work in float32 on a CPU, so it is just folded',
            logger='current',
            level=logging.WARNING,
        )
    return other is None


def _empty(x: Tensor, bias: Tensor) -> Tensor:
    shape = (x.shape[0], bias.shape[0], *x.shape[2:])
    return x.new_empty(shape).to(memory_format=torch.channels_last)


def _is_aggregate(module: OSAModule) -> bool:
    conv = module.aggregate.conv
    return type(conv) is nn.Conv2d and conv.out_channels % 16 == 0


def _is_winograd(conv: nn.Module) -> bool:
    return (
        type(conv) is nn.Conv2d
        and conv.kernel_size == (3, 3)
        and conv.stride == conv.dilation == conv.padding == (1, 1)
        and conv.padding_mode == 'zeros'
        and conv.groups == 1
        and conv.in_channels % 16 == conv.out_channels % 16 == 0
    )


def _take(unit: ConvModule, kind: type[PackedConv2d]) -> None:
    """Put a conv in the place of a unit's, with the activation behind it."""
    activate = (
        unit.with_activation
        and not unit.with_norm
        and unit.order.index('conv') < unit.order.index('act')
        and type(unit.activate) is nn.ReLU
    )
    if activate:
        unit.with_activation = False
    unit.conv = kind(unit.conv, activate)
