"""The transfer connections of RefineDet, and its residual block."""

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.backbones.resnet import Bottleneck
from mmdet.models.necks.ssd_neck import L2Norm
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvovnet.registry import MODELS


def residual_block(
    in_channels: int, planes: int, stride: int = 1
) -> Bottleneck:
    """A bottleneck of 4 * ``planes`` channels whose shortcut is a projection.

    The stride is in the first 1x1 conv, as in Caffe's ResNets.
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


@MODELS.register_module()
class TransferConnectionNeck(BaseModule):
    """An extra stage, and what the second head gets from the first's maps.

    A transfer connection is two 3x3 convs on a map, the sum with the next
    coarser result, twice enlarged by a transposed conv, and a third 3x3 conv
    (arXiv 1711.06897, section 3.1 and figure 2).

    Args:
        in_channels: Channels of the backbone's maps, each half as large as
            the one before.
        out_channels: Channels of each result.
        extra_channels: Channels of the extra stage.
        residual: The extra stage is a residual block, as on ResNet and
            VoVNet; else a 1x1 and a 3x3 conv without norms, as on VGG.
        norm_cfg: Norm of the connections; None, as on VGG, is none.
        l2_scales: Initial scales of L2 norms of the first maps, as on VGG.
        init_cfg: Initialisation; None is Xavier.

    Example:
        >>> import torch
        >>> neck = TransferConnectionNeck([8, 16], 32, extra_channels=64)
        >>> maps = [torch.rand(1, 8, 8, 8), torch.rand(1, 16, 4, 4)]
        >>> for source, transferred in neck(maps):
        ...     print(tuple(source.shape), tuple(transferred.shape))
        (1, 8, 8, 8) (1, 32, 8, 8)
        (1, 16, 4, 4) (1, 32, 4, 4)
        (1, 64, 2, 2) (1, 32, 2, 2)
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        extra_channels: int = 512,
        residual: bool = True,
        norm_cfg: dict | None = dict(type='BN'),  # noqa: B006
        l2_scales: Sequence[float] = (),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            init_cfg
            or dict(
                type='Xavier',
                layer=['Conv2d', 'ConvTranspose2d'],
                distribution='uniform',
            )
        )
        self.in_channels = tuple(in_channels)
        norms = [
            L2Norm(channels, float(scale))
            for channels, scale in zip(in_channels, l2_scales, strict=False)
        ]
        for norm in norms:  # mmdet leaves their weights empty
            nn.init.constant_(norm.weight, norm.scale)
        self.l2_norms = nn.ModuleList(norms)
        last = in_channels[-1]
        if residual:
            self.extra = residual_block(last, extra_channels // 4, stride=2)
        else:
            half = extra_channels // 2
            self.extra = nn.Sequential(
                ConvModule(last, half, 1),
                ConvModule(half, extra_channels, 3, 2, padding=1),
            )
        conv = partial(
            ConvModule, out_channels=out_channels, norm_cfg=norm_cfg
        )
        conv3 = partial(conv, kernel_size=3, padding=1)
        self.laterals = nn.ModuleList(
            nn.Sequential(conv3(channels), conv3(out_channels, act_cfg=None))
            for channels in (*in_channels, extra_channels)
        )
        self.upsamples = nn.ModuleList(
            conv(
                out_channels,
                kernel_size=2,
                stride=2,
                conv_cfg=dict(type='deconv'),
                act_cfg=None,
            )
            for _ in in_channels
        )
        self.outputs = nn.ModuleList(
            conv3(out_channels) for _ in self.laterals
        )

    def forward(
        self, maps: Sequence[Tensor]
    ) -> tuple[tuple[Tensor, Tensor], ...]:
        """Connect maps, (N, in_channels[i], H_i, W_i), from the coarsest on.

        Each of them, and the extra stage's, gives the source that the first
        head reads and the transferred map, of its size, that the second
        reads.
        """
        sources = list(maps)
        for i, norm in enumerate(self.l2_norms):
            sources[i] = norm(sources[i])
        sources.append(self.extra(maps[-1]))
        merged = [
            lateral(x)
            for lateral, x in zip(self.laterals, sources, strict=True)
        ]
        levels = [self.outputs[-1](F.relu(merged[-1]))]
        for i in range(len(maps) - 1, -1, -1):
            up = self.upsamples[i](levels[0])
            # Crop or pad, as images of any size need it.
            height, width = merged[i].shape[2:]
            up = F.pad(up, (0, width - up.size(3), 0, height - up.size(2)))
            levels.insert(0, self.outputs[i](F.relu(merged[i] + up)))
        return tuple(zip(sources, levels, strict=True))
