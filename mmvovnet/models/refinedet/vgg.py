"""The VGG-16 of RefineDet."""

from mmdet.models.backbones import SSDVGG
from torch import nn

from mmvovnet.registry import MODELS


@MODELS.register_module()
class RefineDetVGG(SSDVGG):
    """VGG-16 with conv4_3, conv5_3 and fc7 at strides 8, 16 and 32.

    SSD reads fc7 at stride 16: it pools the fifth stage without a stride and
    dilates fc6 by 6. RefineDet keeps VGG's own pool, and half the dilation
    sees the same pixels.

    Example:
        >>> import torch
        >>> model = RefineDetVGG()
        >>> [tuple(x.shape[1:]) for x in model(torch.rand(1, 3, 64, 64))]
        [(512, 8, 8), (512, 4, 4), (1024, 2, 2)]
    """

    def __init__(self, init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(
            depth=16,
            with_last_pool=True,
            out_feature_indices=(22, 29, 35),
            init_cfg=init_cfg,
        )
        self.features[31] = nn.Identity()  # SSD's pool of stride 1
        fc6 = self.features[32]
        fc6.dilation = fc6.padding = (3, 3)
