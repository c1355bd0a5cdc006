"""The residual block of RefineDet's extra stage and of its heads."""

from mmdet.models.backbones.resnet import Bottleneck
from torch import nn


def residual_block(
    in_channels: int, planes: int, stride: int = 1
) -> Bottleneck:
    """A bottleneck whose shortcut is always a projection.

    The stride is in the first 1x1 conv, as in Caffe's ResNets.

    Args:
        in_channels (int): Input channels.
        planes (int): Channels of the 3x3 conv; four times as many go out.
        stride (int): Stride. Defaults to 1.

    Example:
        >>> import torch
        >>> block = residual_block(64, 16, stride=2)
        >>> block(torch.rand(1, 64, 8, 8)).shape
        torch.Size([1, 64, 4, 4])
    """
    channels = planes * Bottleneck.expansion
    return Bottleneck(
        in_channels,
        planes,
        stride=stride,
        downsample=nn.Sequential(
            nn.Conv2d(in_channels, channels, 1, stride, bias=False),
            nn.BatchNorm2d(channels),
        ),
        style='caffe',
    )
