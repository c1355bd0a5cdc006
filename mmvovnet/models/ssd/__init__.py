"""SSD (arXiv 1512.02325), a one-stage peer of RefineDet."""

from .ssd_head import SSDHead

__all__ = ['SSDHead']
