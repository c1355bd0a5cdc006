"""RefineDet (arXiv 1711.06897), the paper's own detector, for MMDetection."""

from .assigner import BipartiteAssigner
from .detector import RefineDet
from .heads import ARMHead, ODMHead
from .neck import TransferConnectionNeck
from .vgg import RefineDetVGG

__all__ = [
    'ARMHead',
    'BipartiteAssigner',
    'ODMHead',
    'RefineDet',
    'RefineDetVGG',
    'TransferConnectionNeck',
]
