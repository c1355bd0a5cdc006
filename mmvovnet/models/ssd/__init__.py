"""SSD (arXiv 1512.02325), beside which RefineDet is measured."""

from .ssd_head import SSDHead

__all__ = ['SSDHead']
