"""SSD (arXiv 1512.02325), a one-stage peer of RefineDet."""

import mmdet.models

from mmvovnet.registry import MODELS


@MODELS.register_module()
class SSDHead(mmdet.models.SSDHead):
    """mmdet's ``SSDHead``, whose prediction works.

    In mmdet 3.3.0 prediction asks every head for its ``loss_cls``, and
    ``SSDHead`` has none (open-mmlab/mmdetection#11780).
    """

    loss_cls = None
