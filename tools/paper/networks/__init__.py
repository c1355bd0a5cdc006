"""The networks that the paper compares with and that no dependency has."""

from .cifarnet import CifarNet
from .densenet67 import DSODDenseNet
from .peleenet import PeleeNet

__all__ = ['CifarNet', 'DSODDenseNet', 'PeleeNet']
