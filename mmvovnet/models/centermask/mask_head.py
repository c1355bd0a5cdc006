"""The spatial attention-guided mask head of CenterMask."""

import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmengine.model import kaiming_init
from torch import Tensor, nn

from mmvovnet.registry import MODELS


class SpatialAttention(nn.Module):
    """Weights each place of a map by what its channels hold.

    ``x * sigmoid(conv([mean(x), max(x)]))``, mean and maximum over the
    channels (arXiv 1911.06667, section 3.3).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weight a map, shape (N, C, H, W)."""
        mean, most = x.mean(1, keepdim=True), x.amax(1, keepdim=True)
        return x * self.conv(torch.cat([mean, most], 1)).sigmoid()


@MODELS.register_module()
class SpatialAttentionMaskHead(FCNMaskHead):
    """Convs, spatial attention, upsampling and a mask for each class.

    Beyond mmdet's ``FCNMaskHead`` there is :class:`SpatialAttention` between
    the last conv and the upsampling, and the weights of the last layer start
    near zero (std 0.001), so that a mask starts as 0.5 everywhere.

    Example:
        >>> head = SpatialAttentionMaskHead(in_channels=16, num_classes=5)
        >>> head(torch.rand(3, 16, 14, 14)).shape
        torch.Size([3, 5, 28, 28])
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.spatial_attention = SpatialAttention()

    def init_weights(self) -> None:
        """Initialise as the authors do."""
        super().init_weights()
        kaiming_init(self.spatial_attention.conv)
        nn.init.normal_(self.conv_logits.weight, std=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Map (K, in_channels, H, W) to logits (K, num_classes, 2H, 2W)."""
        for conv in self.convs:
            x = conv(x)
        x = self.upsample(self.spatial_attention(x))
        if self.upsample_method == 'deconv':
            x = self.relu(x)
        return self.conv_logits(x)
