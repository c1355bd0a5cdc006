"""A light neck for the light VoVNets."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import DepthwiseSeparableConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvovnet.registry import MODELS


@MODELS.register_module()
class FPNLite(BaseModule):
    """FPN (arXiv 1612.03144) with depthwise separable convs.

    The neck of the light detectors of VoVNetV2's authors: with 128 channels
    it has an eighth of the parameters of an FPN of 256. Levels past the
    backbone's are max pooled from the last, as a two-stage detector wants
    them.

    Args:
        in_channels: Channels of the backbone's maps, each half as large as
            the one before.
        out_channels: Channels of each level.
        num_outs: Levels; None is one per input.
        init_cfg: Initialisation; None is Xavier.

    Raises:
        ValueError: If there are fewer levels than inputs.

    Example:
        >>> import torch
        >>> neck = FPNLite([16, 32], num_outs=3)
        >>> maps = neck([torch.rand(1, 16, 8, 8), torch.rand(1, 32, 4, 4)])
        >>> [tuple(level.shape) for level in maps]
        [(1, 128, 8, 8), (1, 128, 4, 4), (1, 128, 2, 2)]
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 128,
        num_outs: int | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            init_cfg
            or dict(type='Xavier', layer='Conv2d', distribution='uniform')
        )
        self.in_channels = tuple(in_channels)
        self.out_channels = out_channels
        self.num_outs = num_outs or len(in_channels)
        if self.num_outs < len(in_channels):
            raise ValueError(
                f'num_outs={num_outs} is less than the {len(in_channels)} '
                "inputs: leave some out of the backbone's out_indices"
            )
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, out_channels, 1) for channels in in_channels
        )
        self.outputs = nn.ModuleList(
            DepthwiseSeparableConvModule(
                out_channels, out_channels, 3, padding=1, act_cfg=None
            )
            for _ in in_channels
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Merge maps, (N, in_channels[i], H_i, W_i), from the coarsest on.

        The first of the ``num_outs`` levels have the sizes of the maps.
        """
        merged = [
            lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)
        ]
        for i in range(len(merged) - 1, 0, -1):
            merged[i - 1] = merged[i - 1] + F.interpolate(
                merged[i], size=merged[i - 1].shape[2:]
            )
        levels = [
            output(x) for output, x in zip(self.outputs, merged, strict=True)
        ]
        while len(levels) < self.num_outs:
            levels.append(F.max_pool2d(levels[-1], 1, stride=2))
        return tuple(levels)
