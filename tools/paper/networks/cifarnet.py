"""The networks of the study that led to VoVNet, for images of 32x32 pixels.

Section 3.2 of arXiv 1904.09730 takes DenseNet-40 (arXiv 1608.06993, section
3.4, growth rate 12, no bottleneck, no compression) and puts One-Shot
Aggregation modules in the place of its dense blocks.
"""

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvovnet.models.osa import OSAModule
from mmvovnet.registry import MODELS

_PRE = ('norm', 'act', 'conv')


class DenseBlock(nn.Module):
    """A dense block: each layer reads the input and all layers before it.

    Args:
        in_channels (int): Input channels.
        growth (int): Channels of a layer.
        num_layers (int): Number of 3x3 convs.

    Example:
        >>> DenseBlock(16, 12, 12)(torch.rand(1, 16, 8, 8)).shape
        torch.Size([1, 160, 8, 8])
    """

    def __init__(self, in_channels: int, growth: int, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _preactivated(in_channels + i * growth, growth, 3)
            for i in range(num_layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C + num_layers * growth, H, W)."""
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


@MODELS.register_module()
class CifarNet(BaseModule):
    """DenseNet-40, or the same with One-Shot Aggregation.

    A 3x3 conv of 16 channels and three blocks at strides 1, 2 and 4, with a
    2x2 average pool between them. A 1x1 conv that keeps the channels follows
    each block: the transition, which in an OSA module is its aggregation. A
    dense network has none after its last block, where the classifier reads
    all layers.

    How wide the transitions of the OSA networks are, the paper does not say;
    this width gives its memory access cost, 2.5 M, best.

    ============== ======================== ========== ======
    network        arguments                parameters Eq. 1
    ============== ======================== ========== ======
    DenseNet-40    ``('dense', 12, 12)``    1.02 M     3.66 M
    OSA 12x20      ``('osa', 12, 20)``      1.12 M     2.71 M
    OSA 5x43       ``('osa', 5, 43)``       1.16 M     2.57 M
    ============== ======================== ========== ======

    Args:
        block (str): 'dense' or 'osa'.
        num_layers (int): 3x3 convs of a block.
        width (int): Channels of a 3x3 conv: the growth rate of a dense block.
        in_channels (int): Image channels. Defaults to 3.
        init_cfg (dict, optional): Initialisation. Defaults to None, He's by
            fan-in, as in DenseNet.

    Attributes:
        out_channels (tuple[int]): Channels of the output.

    Raises:
        ValueError: If ``block`` is neither.

    Example:
        >>> model = CifarNet('osa', num_layers=5, width=43)
        >>> [tuple(out.shape) for out in model(torch.rand(1, 3, 32, 32))]
        [(1, 661, 8, 8)]
    """

    def __init__(
        self,
        block: str,
        num_layers: int,
        width: int,
        in_channels: int = 3,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            init_cfg or dict(type='Kaiming', layer='Conv2d', mode='fan_in')
        )
        if block not in ('dense', 'osa'):
            raise ValueError(f"block must be 'dense' or 'osa', got {block!r}")
        self.in_channels = in_channels
        dense = block == 'dense'
        self.stem = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.stages = nn.Sequential()
        channels = 16
        for i in range(3):
            out = channels + num_layers * width
            if dense:
                stage = nn.Sequential(DenseBlock(channels, width, num_layers))
                if i < 2:
                    stage.append(_preactivated(out, out, 1))
            else:
                stage = nn.Sequential(
                    OSAModule(channels, width, out, num_layers)
                )
            if i < 2:
                stage.append(nn.AvgPool2d(2))
            self.stages.append(stage)
            channels = out
        self.norm = (
            nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
            if dense
            else nn.Identity()
        )
        self.out_channels = (channels,)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Map images (N, in_channels, H, W) to one map of stride 4."""
        return (self.norm(self.stages(self.stem(x))),)


def _preactivated(
    in_channels: int, out_channels: int, kernel: int
) -> nn.Module:
    return ConvModule(
        in_channels,
        out_channels,
        kernel,
        padding=kernel // 2,
        bias=False,
        norm_cfg=dict(type='BN'),
        order=_PRE,
        act_cfg=dict(type='ReLU', inplace=True),
    )
