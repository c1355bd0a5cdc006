"""Models made ready for inference: folded, exported, run."""

from .accelerate import accelerate
from .export import build, describe, export
from .fuse import fuse
from .hook import FuseHook
from .runtime import Exported, load

__all__ = [
    'Exported',
    'FuseHook',
    'accelerate',
    'build',
    'describe',
    'export',
    'fuse',
    'load',
]
