"""Batch norms folded into convs."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import DropPath
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper, revert_sync_batchnorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mmvovnet.models.layout import needs_usual_layout

Model = TypeVar('Model', bound=nn.Module)


def fuse(model: Model) -> Model:
    """Make a model for inference: fewer operations, the same outputs.

    A batch norm behind a conv becomes part of the conv's weight and bias.
    Dropout and drop path go, activations behind convs work in place, and the
    weights are in the channels-last layout, which CPU and GPU convs prefer,
    unless the model holds compiled ops of mmcv, such as deformable convs and
    RoI align, which give wrong results in it. It works on a backbone, on a
    whole detector of MMDetection and on a classifier of MMPretrain.

    Group, layer and instance norms depend on the input, so they stay. A batch
    norm that can't be folded is an error, for no one measures or ships a
    model that is half folded. Each fold is checked on random input.

    Args:
        model (nn.Module): A model in eval mode. It is not changed.

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
            path = f'{prefix}.{name}' if prefix else name
            if isinstance(child, _BatchNorm):
                _fold(parent, name, path)
            elif isinstance(child, _DropoutNd | DropPath):
                setattr(parent, name, nn.Identity().eval())
        if isinstance(parent, ConvModule) and parent.with_activation:
            in_place = hasattr(parent.activate, 'inplace')
            if in_place and parent.order[0] != 'act':
                parent.activate.inplace = True
    if needs_usual_layout(model):
        return model
    channels_last: Any = torch.channels_last
    return model.to(memory_format=channels_last)


class FuseHook(Hook):
    """Fold the model's batch norms before a test, with its weights loaded.

    ``tools/test.py --fuse`` and ``--accelerate`` register it. Gradients are
    not synchronised in a test, so a distributed wrapper is taken off.

    Args:
        transform (Callable): :func:`fuse` or :func:`accelerate`.
    """

    priority = 'VERY_LOW'

    def __init__(
        self, transform: Callable[[nn.Module], nn.Module] = fuse
    ) -> None:
        self.transform = transform

    def before_test(self, runner: Any) -> None:
        """Replace the runner's model by the folded one."""
        model: Any = runner.model
        if is_model_wrapper(model):
            model = model.module
        runner.model = self.transform(model.eval())


def _fold(parent: nn.Module, name: str, path: str) -> None:
    norm = getattr(parent, name)
    if norm.running_mean is None:
        raise ValueError(
            f"can't fold '{path}': it has no running statistics, so it "
            'depends on the batch; train with track_running_stats=True'
        )
    before = _conv_before(parent, name)
    conv: Any = getattr(parent, before, None)
    # Deformable convs are no _ConvNd; those of version 1 can't have a bias.
    if not (hasattr(conv, 'kernel_size') and 'bias' in conv._parameters):
        raise ValueError(
            f"can't fold '{path}': there is no conv with room for a bias "
            'directly before it'
        )
    transpose = getattr(conv, 'transposed', False)
    fused = fuse_conv_bn_eval(conv, norm, transpose).requires_grad_(False)
    if not _agree(nn.Sequential(conv, norm), fused):
        raise ValueError(
            f"can't fold '{path}': a {type(conv).__name__} followed by a "
            f'{type(norm).__name__} is not just one conv with a bias'
        )
    setattr(parent, before, fused)
    setattr(parent, name, nn.Identity().eval())
    if isinstance(parent, ConvModule):
        parent.with_norm = False


def _conv_before(parent: nn.Module, name: str) -> str:
    """Name the module whose output a batch norm takes; '' if there is none."""
    if isinstance(parent, ConvModule):
        order = parent.order
        follows = order.index('norm') == order.index('conv') + 1
        return 'conv' if follows else ''
    # OpenMMLab's other modules register conv and norm one after the other.
    names = ['', *parent._modules]
    return names[names.index(name) - 1]


@torch.no_grad()
def _agree(pair: nn.Module, fused: Any) -> bool:
    """Whether the fold is exact, which custom convs and norms may break."""
    sizes = [
        dilation * (kernel - 1) + 3
        for dilation, kernel in zip(
            fused.dilation, fused.kernel_size, strict=True
        )
    ]
    x = torch.rand(
        (2, fused.in_channels, *sizes),
        generator=torch.Generator().manual_seed(0),
    ).to(fused.weight)
    expected, actual = pair(x), fused(x)
    # Half precision and an unlucky scale are no reason to refuse.
    return bool((actual - expected).abs().max() <= 0.01 * expected.std())
