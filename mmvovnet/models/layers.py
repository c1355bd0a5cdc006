"""The units a VoVNet is made of: convs with norm and activation, and gates."""

import math

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
    and activation, after the second: the ``dw`` variants of VoVNetV2.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels.
        kernel_size (int): Kernel size. Defaults to 3.
        stride (int): Stride. Defaults to 1.
        dilation (int): Distance of the kernel's taps. Defaults to 1.
        depthwise (bool): Depthwise separable. Defaults to False.
        **cfg: ``conv_cfg``, ``norm_cfg`` and ``act_cfg`` of mmcv.

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
    if depthwise:
        return DepthwiseSeparableConvModule(
            in_channels,
            out_channels,
            dw_norm_cfg=None,
            dw_act_cfg=None,
            **kwargs,
        )
    return ConvModule(in_channels, out_channels, **kwargs)


class SEGate(nn.Module):
    """Squeeze-and-Excitation (arXiv 1709.01507; Eq. 5 of arXiv 1911.06667).

    Args:
        channels (int): Channels C of the ``(N, C, H, W)`` input.
        reduction (int): The hidden layer has ``C / reduction`` channels.
            Defaults to 4, which gives the parameter counts of Table 4 of
            arXiv 1911.06667.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels of ``x``; the shape stays."""
        weight = F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))
        return x * torch.sigmoid(self.fc2(weight))


class ESEGate(nn.Module):
    """Effective Squeeze-Excitation (arXiv 1911.06667, section 3.3).

    One fully connected layer that keeps all channels, so that nothing is
    lost in a reduction.

    Args:
        channels (int): Channels C of the ``(N, C, H, W)`` input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels of ``x``; the shape stays."""
        return x * F.hardsigmoid(self.fc(F.adaptive_avg_pool2d(x, 1)))


class ECAGate(nn.Module):
    """Efficient Channel Attention (arXiv 1910.03151).

    A 1-d conv over neighbouring channels, with a kernel size that grows with
    the logarithm of their number (Eq. 12 there, gamma 2 and b 1).

    Args:
        channels (int): Channels C of the ``(N, C, H, W)`` input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        size = int(abs(math.log2(channels) + 1) / 2)
        size = max(size + 1 - size % 2, 3)
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels of ``x``; the shape stays."""
        weight = self.conv(x.mean((2, 3)).unsqueeze(1))
        return x * torch.sigmoid(weight).transpose(1, 2).unsqueeze(-1)


GATES = {'none': None, 'SE': SEGate, 'eSE': ESEGate, 'ECA': ECAGate}
