"""Batch norms folded into convs."""

import copy
from typing import Any, TypeVar

import torch
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import DropPath
from mmengine.model import revert_sync_batchnorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mmvovnet.models.layers import mmcv_ops

Model = TypeVar('Model', bound=nn.Module)


def fuse(model: Model) -> Model:
    """Make a model for inference: fewer operations, the same outputs.

    A batch norm behind a conv becomes part of the conv's weight and bias.
    Dropout and drop path go, activations behind convs work in place, and the
    weights are in the channels-last layout, which CPU and GPU convs prefer,
    unless the model holds compiled ops of mmcv, such as deformable convs and
    RoI align, which give wrong results in it. Group, layer and instance norms
    depend on the input, so they stay.

    Args:
        model (nn.Module): A backbone, a whole detector of MMDetection or a
            classifier of MMPretrain, in eval mode. It is not changed.

    Returns:
        nn.Module: A new model of the same class, in eval mode, whose
        parameters need no gradients.

    Raises:
        ValueError: If a part of the model is in training mode, or a batch
            norm has no running statistics, no conv directly before it, or
            one that can't take it in. The message names it.

    Example:
        >>> from mmvovnet import VoVNet
        >>> model = fuse(VoVNet('V-19-slim-eSE').eval())
        >>> any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
        False
    """
    training = [name for name, m in model.named_modules() if m.training]
    if training:
        raise ValueError(
            f"'{training[0] or type(model).__name__}' is in training mode, "
            'where batch norms depend on the batch: call model.eval() first'
        )
    # Synchronised ones are plain batch norms in eval mode.
    model = revert_sync_batchnorm(copy.deepcopy(model))
    model.requires_grad_(False)
    for prefix, parent in list(model.named_modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                if reason := _fold(parent, name):
                    path = f'{prefix}.{name}'.lstrip('.')
                    raise ValueError(f"can't fold '{path}': {reason}")
            elif isinstance(child, _DropoutNd | DropPath):
                setattr(parent, name, nn.Identity().eval())
        if isinstance(parent, ConvModule) and parent.with_activation:
            order = parent.order
            behind = order.index('conv') < order.index('act')
            if behind and hasattr(parent.activate, 'inplace'):
                parent.activate.inplace = True
    if any(mmcv_ops(model)):
        return model
    channels_last: Any = torch.channels_last
    return model.to(memory_format=channels_last)


def _fold(parent: Any, name: str) -> str | None:
    """Fold a module's norm into the conv before it, or say why not."""
    norm = getattr(parent, name)
    if norm.running_mean is None:
        return (
            'it has no running statistics, so it depends on the batch; train '
            'with track_running_stats=True'
        )
    # OpenMMLab's modules register conv and norm one after the other.
    names = ['', *parent._modules]
    before = names[names.index(name) - 1]
    conv: Any = getattr(parent, before, None)
    is_unit = isinstance(parent, ConvModule)
    order = parent.order if is_unit else ('conv', 'norm')
    # Deformable convs are no _ConvNd; those of version 1 can't have a bias.
    if (
        'conv-norm' not in '-'.join(order)
        or not hasattr(conv, 'kernel_size')
        or 'bias' not in conv._parameters
    ):
        return 'there is no conv with room for a bias directly before it'
    transpose = getattr(conv, 'transposed', False)
    fused = fuse_conv_bn_eval(conv, norm, transpose).requires_grad_(False)
    if not _agree(nn.Sequential(conv, norm), fused):
        return (
            f'a {type(conv).__name__} followed by a {type(norm).__name__} is '
            'not just one conv with a bias'
        )
    setattr(parent, before, fused)
    setattr(parent, name, nn.Identity().eval())
    if is_unit:
        parent.with_norm = False
    return None


@torch.no_grad()
def _agree(pair: nn.Module, fused: Any) -> bool:
    """Whether the fold is exact, which custom convs and norms may break."""
    kernels = zip(fused.dilation, fused.kernel_size, strict=True)
    sizes = [dilation * (kernel - 1) + 3 for dilation, kernel in kernels]
    x = torch.rand(
        (2, fused.in_channels, *sizes),
        generator=torch.Generator().manual_seed(0),
    ).to(fused.weight)
    expected, actual = pair(x), fused(x)
    # Half precision and an unlucky scale are no reason to refuse.
    return bool((actual - expected).abs().max() <= 0.01 * expected.std())
