"""Training that keeps fewer bytes, and computes the rest again.

:mod:`.recompute` keeps the outputs of convs only (``memory_efficient``),
:mod:`.checkpointing` the input of a module only (``with_cp``).
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
