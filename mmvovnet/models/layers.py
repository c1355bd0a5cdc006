"""The units of a VoVNet: convs with norm and activation, pools, and gates."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from torch import Tensor, nn


def conv_unit(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 3,
    stride: int = 1,
    dilation: int = 1,
    depthwise: bool = False,
    **cfg,
) -> nn.Module:
    """A conv, its norm and its activation, keeping the size at stride 1.

    A depthwise unit is a depthwise 3x3 and a pointwise 1x1 conv with one norm
    and activation, after the second: the ``dw`` variants of VoVNetV2. ``cfg``
    are mmcv's ``conv_cfg``, ``norm_cfg`` and ``act_cfg``.

    Example:
        >>> unit = conv_unit(8, 16, stride=2, norm_cfg=dict(type='BN'))
        >>> unit(torch.rand(1, 8, 6, 6)).shape
        torch.Size([1, 16, 3, 3])
    """
    kwargs = dict(
        kernel_size=kernel_size,
        stride=stride,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        bias=False,
        **cfg,
    )
    if not depthwise:
        return ConvModule(in_channels, out_channels, **kwargs)
    kwargs |= dict(dw_norm_cfg=None, dw_act_cfg=None)
    return DepthwiseSeparableConvModule(in_channels, out_channels, **kwargs)


def max_pool(
    stride: int = 2, dilation: int = 1, padding: int = 0
) -> nn.Module:
    """The 3x3 max pool in front of a stage.

    At stride 2 it halves the size, rounding down, or up where it is padded.
    At stride 1 it keeps the size; its maxima are those of stride 2 and those
    of the places between them, so weights that were trained with stride 2
    still fit. Its taps are as far apart as those of the stage before.

    Example:
        >>> x = torch.rand(1, 1, 7, 7)
        >>> torch.equal(max_pool(1)(x)[..., 1::2, 1::2], max_pool(2)(x))
        True
    """
    ceil_mode = not padding
    width = dilation if stride == 1 or padding else dilation - 1
    if width <= 1:  # the most that MaxPool2d takes
        return nn.MaxPool2d(3, stride, width, dilation, ceil_mode=ceil_mode)
    return nn.Sequential(
        nn.ConstantPad2d(width, -math.inf),
        nn.MaxPool2d(3, stride, 0, dilation, ceil_mode=ceil_mode),
    )


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


class SEGate(nn.Module):
    """Squeeze-and-Excitation (arXiv 1709.01507; Eq. 5 of arXiv 1911.06667).

    A reduction of 4 gives the parameters of Table 4 of the second.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels of a map, ``(N, C, H, W)``."""
        weight = F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))
        return x * torch.sigmoid(self.fc2(weight))


class ESEGate(nn.Module):
    """Effective Squeeze-Excitation (arXiv 1911.06667, section 3.3).

    One fully connected layer that keeps all channels, so that nothing is
    lost in a reduction.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels of a map, ``(N, C, H, W)``."""
        return x * F.hardsigmoid(self.fc(F.adaptive_avg_pool2d(x, 1)))


class ECAGate(nn.Module):
    """Efficient Channel Attention (arXiv 1910.03151).

    A 1-d conv over neighbouring channels, with a kernel size that grows with
    the logarithm of their number (Eq. 12 there, gamma 2 and b 1).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        size = int(abs(math.log2(channels) + 1) / 2)
        size = max(size + 1 - size % 2, 3)
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels of a map, ``(N, C, H, W)``."""
        weight = self.conv(x.mean((2, 3)).unsqueeze(1))
        return x * torch.sigmoid(weight).transpose(1, 2).unsqueeze(-1)


GATES = {'none': None, 'SE': SEGate, 'eSE': ESEGate, 'ECA': ECAGate}
