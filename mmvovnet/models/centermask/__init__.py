"""CenterMask (arXiv 1911.06667), VoVNetV2's own detector, for MMDetection."""

from .detector import CenterMask, PanopticCenterMask
from .mask_head import SpatialAttentionMaskHead
from .roi_head import AdaptiveRoIExtractor, CenterMaskRoIHead

__all__ = [
    'AdaptiveRoIExtractor',
    'CenterMask',
    'CenterMaskRoIHead',
    'PanopticCenterMask',
    'SpatialAttentionMaskHead',
]
