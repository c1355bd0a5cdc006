"""Training that keeps fewer bytes, and computes the rest again.

Two ways, both with the plain mode's outputs, gradients and statistics:

- ``memory_efficient``: :func:`recompute_elementwise` keeps the outputs of
  convs and repeats norms, activations, concatenations and gates: less than
  half of the bytes, for 1.02 to 1.04 times the time of a step.
- ``with_cp``: :func:`checkpoint_module` keeps a module's input only and
  repeats all of it, convs too: less memory still, for about a third more
  time. Both together keep least.
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
