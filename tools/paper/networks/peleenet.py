"""PeleeNet, a DenseNet for mobile devices."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmvovnet.models.layers import conv_unit
from mmvovnet.registry import MODELS

from .staged import StagedBackbone


class Stem(nn.Module):
    """Two 3x3, stride 2 convs and a max pool parallel to the second."""

    def __init__(self, in_channels: int, channels: int, **cfg) -> None:
        super().__init__()
        self.first = conv_unit(in_channels, channels, stride=2, **cfg)
        self.conv = nn.Sequential(
            conv_unit(channels, channels // 2, 1, **cfg),
            conv_unit(channels // 2, channels, stride=2, **cfg),
        )
        # Rounds odd sizes as the conv does.
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.merge = conv_unit(2 * channels, channels, 1, **cfg)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, channels, H/4, W/4)``."""
        x = self.first(x)
        return self.merge(torch.cat([self.pool(x), self.conv(x)], dim=1))


class TwoWayDenseLayer(nn.Module):
    """Two chains of convs, one of them with a larger receptive field.

    Args:
        channels (int): Input channels.
        width (int): Channels of each 1x1 conv.
        growth (int): Channels that are added, half of them by each chain.
        **cfg: ``norm_cfg`` and ``act_cfg`` of mmcv.
    """

    def __init__(self, channels: int, width: int, growth: int, **cfg) -> None:
        super().__init__()
        half = growth // 2
        self.near = nn.Sequential(
            conv_unit(channels, width, 1, **cfg),
            conv_unit(width, half, **cfg),
        )
        self.far = nn.Sequential(
            conv_unit(channels, width, 1, **cfg),
            conv_unit(width, half, **cfg),
            conv_unit(half, half, **cfg),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, channels, H, W)`` to ``(N, channels + growth, H, W)``."""
        return torch.cat([x, self.near(x), self.far(x)], dim=1)


@MODELS.register_module()
class PeleeNet(StagedBackbone):
    """PeleeNet (arXiv 1804.06882, Table 1).

    Four stages of dense layers and a 1x1 conv, with an average pool between
    two stages, put out at strides 4, 8, 16 and 32. 2.8 M parameters with the
    classifier, 508 M multiply-adds.

    Args:
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): Stages to put out, from 0 to 3.
            Defaults to all.
        norm_cfg (dict): Norm. Defaults to ``dict(type='BN')``.
        act_cfg (dict): Activation. Defaults to ``dict(type='ReLU')``.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to
            None: Kaiming.

    Example:
        >>> model = PeleeNet().eval()
        >>> for out in model(torch.rand(1, 3, 64, 64)):
        ...     print(tuple(out.shape))
        (1, 128, 16, 16)
        (1, 256, 8, 8)
        (1, 512, 4, 4)
        (1, 704, 2, 2)
    """

    layers = (3, 4, 8, 6)
    widths = (16, 32, 64, 64)
    growth = 32

    def __init__(
        self,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        norm_cfg: dict = dict(type='BN'),  # noqa: B006
        act_cfg: dict = dict(type='ReLU'),  # noqa: B006
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d'))
        cfg = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.out_indices = tuple(out_indices)
        channels = 32
        self.stem = Stem(in_channels, channels, **cfg)
        self.stages = nn.ModuleList()
        for number, width in zip(self.layers, self.widths, strict=True):
            units: list[nn.Module] = []
            if self.stages:
                units.append(nn.AvgPool2d(2))
            for _ in range(number):
                units.append(
                    TwoWayDenseLayer(channels, width, self.growth, **cfg)
                )
                channels += self.growth
            units.append(conv_unit(channels, channels, 1, **cfg))
            self.stages.append(nn.Sequential(*units))
