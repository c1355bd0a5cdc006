"""Training that keeps fewer bytes, and computes the rest again.

Two ways, both with the plain mode's outputs, gradients and statistics:
``memory_efficient`` is :func:`recompute_elementwise`, which repeats no
expensive convs, and ``with_cp`` is :func:`checkpoint_module`, which repeats
all. docs/performance.md has what they save and cost.
"""

from .checkpointing import checkpoint_module
from .recompute import (
    recompute_contexts,
    recompute_elementwise,
    recompute_forward,
)
from .recorder import SMALL_BYTES

__all__ = [
    'SMALL_BYTES',
    'checkpoint_module',
    'recompute_contexts',
    'recompute_elementwise',
    'recompute_forward',
]
