"""VoVNet in place of the backbone of any OpenMMLab config."""

from .changes import Change, SwapError
from .plan import Swap, plan_swap, swap_backbone

__all__ = ['Change', 'Swap', 'SwapError', 'plan_swap', 'swap_backbone']
