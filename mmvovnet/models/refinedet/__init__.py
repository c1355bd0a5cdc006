"""RefineDet (arXiv 1711.06897), the paper's own detector, for MMDetection."""

from .arm_head import ARMHead
from .assigner import BipartiteAssigner
from .detector import RefineDet
from .neck import TransferConnectionNeck
from .odm_head import ODMHead
from .vgg import RefineDetVGG

__all__ = [
    'ARMHead',
    'BipartiteAssigner',
    'ODMHead',
    'RefineDet',
    'RefineDetVGG',
    'TransferConnectionNeck',
]
