"""Backbones that the paper compares with and that no dependency has."""

from .densenet67 import DSODDenseNet
from .peleenet import PeleeNet

__all__ = ['DSODDenseNet', 'PeleeNet']
