"""The rule of CenterMask for the feature level of a box."""

import math
from collections.abc import Sequence

import torch
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from torch import Tensor

from mmvovnet.registry import MODELS


@MODELS.register_module()
class AdaptiveRoIExtractor(BaseRoIExtractor):
    """Takes a box from the level that its share of the image asks for.

    The level of a box is ``ceil(k_max - log2(A_image / A_box))``, within the
    levels that there are (arXiv 1911.06667, Eq. 2). mmdet's
    ``SingleRoIExtractor`` compares a box with 224 pixels instead, the side of
    an ImageNet image, whatever the size of the image at hand.

    Args:
        roi_layer (dict): Type and arguments of an op of mmcv such as
            ``RoIAlign``.
        out_channels (int): Channels of the maps.
        featmap_strides (Sequence[int]): Strides of the maps, each twice the
            one before; k is the logarithm to base 2 of a stride.
        init_cfg (dict | list[dict], optional): Initialisation.

    Raises:
        ValueError: If the strides are no powers of 2 in this order.

    Example:
        >>> import torch
        >>> extractor = AdaptiveRoIExtractor(
        ...     dict(type='RoIAlign', output_size=14), 16, [8, 16, 32]
        ... )
        >>> rois = torch.tensor([[0, 0, 0, 60, 60.0], [0, 0, 0, 30, 30]])
        >>> extractor.map_roi_levels(rois, torch.tensor([64 * 64, 64 * 64]))
        tensor([2, 0])
    """

    def __init__(
        self,
        roi_layer: dict,
        out_channels: int,
        featmap_strides: Sequence[int],
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(roi_layer, out_channels, featmap_strides, init_cfg)
        first = featmap_strides[0]
        if not math.log2(first).is_integer() or list(featmap_strides) != [
            first * 2**i for i in range(self.num_inputs)
        ]:
            raise ValueError(
                'featmap_strides must be powers of 2, each twice the one '
                f'before, as in [8, 16, 32], got {list(featmap_strides)}'
            )

    def map_roi_levels(self, rois: Tensor, image_areas: Tensor) -> Tensor:
        """Choose the level of each box.

        Args:
            rois (Tensor): Boxes (image, x1, y1, x2, y2) in pixels, shape
                (n, 5).
            image_areas (Tensor): Height x width of the image that each box
                lies in, as resized, without padding, shape (n,).

        Returns:
            Tensor: int64 of shape (n,); 0 is the first of the maps, where
            boxes without an area go, too.
        """
        sides = (rois[:, 3:] - rois[:, 1:3]).float().clamp(min=0)
        ratio = image_areas / sides.prod(1)
        k_min, k_max = (
            int(math.log2(s))
            for s in (self.featmap_strides[0], self.featmap_strides[-1])
        )
        levels = torch.ceil(k_max - torch.log2(ratio))
        return levels.clamp(k_min, k_max).long() - k_min

    def forward(
        self, feats: Sequence[Tensor], rois: Tensor, image_areas: Tensor
    ) -> Tensor:
        """Cut boxes out of the maps.

        Args:
            feats (Sequence[Tensor]): Maps of shape (N, C, H_i, W_i).
            rois (Tensor): As for :meth:`map_roi_levels`.
            image_areas (Tensor): As for :meth:`map_roi_levels`.

        Returns:
            Tensor: Features, shape (n, C, h, w) by ``roi_layer``.
        """
        levels = self.map_roi_levels(rois, image_areas)
        rois = rois.type_as(feats[0])
        size = self.roi_layers[0].output_size
        out = feats[0].new_zeros(len(rois), self.out_channels, *size)
        for level, layer in enumerate(self.roi_layers):
            index = (levels == level).nonzero().squeeze(1)
            if len(index):
                out[index] = layer(feats[level], rois[index])
            else:  # so that all of the model gets a gradient, for DDP
                out = out + feats[level].sum() * 0
        return out
