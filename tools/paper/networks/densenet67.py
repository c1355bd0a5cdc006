"""DenseNet-67, the backbone of DSOD."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmvovnet.models.layers import conv_unit
from mmvovnet.registry import MODELS

from .staged import StagedBackbone


class DenseLayer(nn.Sequential):
    """A 1x1 and a 3x3 conv whose output is added to the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C + growth_rate, H, W)``."""
        return torch.cat([x, super().forward(x)], dim=1)


@MODELS.register_module()
class DSODDenseNet(StagedBackbone):
    """The dense backbone of DSOD (arXiv 1708.01241, Table 1).

    Three stem convs, four dense blocks of 6, 8, 8 and 8 layers and four
    transitions, which is 67 convs. Norm and activation come before a conv,
    so the maps have neither. The defaults are DS/64-64-16-1, the DenseNet-67
    of Table 2 of arXiv 1904.09730: DSOD300 with it has 5.9 M parameters and
    5.3 G multiply-adds. ``growth_rate=48, bottleneck=192`` is DS/64-192-48-1
    with 14.8 M.

    Args:
        growth_rate (int): Channels that a layer adds. Defaults to 16.
        bottleneck (int): Channels of a layer's 1x1 conv. Defaults to 64.
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): Maps to put out, from 0 to 2, of strides
            4, 8 and 16. DSOD predicts from the second, which it calls First,
            and from what it makes of the third. Defaults to all.
        norm_cfg (dict): Norm. Defaults to ``dict(type='BN')``.
        act_cfg (dict): Activation. Defaults to ``dict(type='ReLU')``.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to
            None: Xavier.

    Example:
        >>> model = DSODDenseNet().eval()
        >>> for out in model(torch.rand(1, 3, 64, 64)):
        ...     print(tuple(out.shape))
        (1, 224, 16, 16)
        (1, 352, 8, 8)
        (1, 256, 4, 4)
    """

    def __init__(
        self,
        growth_rate: int = 16,
        bottleneck: int = 64,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2),
        norm_cfg: dict = dict(type='BN'),  # noqa: B006
        act_cfg: dict = dict(type='ReLU'),  # noqa: B006
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Xavier', layer='Conv2d'))
        cfg = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.out_indices = tuple(out_indices)
        channels = 128

        def conv(in_channels: int, out_channels: int, size: int) -> nn.Module:
            return ConvModule(
                in_channels,
                out_channels,
                size,
                padding=size // 2,
                bias=False,
                order=('norm', 'act', 'conv'),
                **cfg,
            )

        def block(number: int, out_channels: int | None = None) -> list:
            nonlocal channels
            units: list[nn.Module] = []
            for _ in range(number):
                units.append(
                    DenseLayer(
                        conv(channels, bottleneck, 1),
                        conv(bottleneck, growth_rate, 3),
                    )
                )
                channels += growth_rate
            out_channels = out_channels or channels
            units.append(conv(channels, out_channels, 1))
            channels = out_channels
            return units

        def pool() -> nn.Module:
            return nn.MaxPool2d(2, ceil_mode=True)  # as Caffe rounds

        self.stem = nn.Sequential(
            conv_unit(in_channels, 64, stride=2, **cfg),
            conv_unit(64, 64, **cfg),
            conv_unit(64, 128, **cfg),
        )
        self.stages = nn.ModuleList(
            [
                nn.Sequential(pool(), *block(6)),
                nn.Sequential(pool(), *block(8)),
                nn.Sequential(pool(), *block(8), *block(8, 256)),
            ]
        )
