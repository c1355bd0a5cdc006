"""Models made ready for inference: folded, exported, run."""

from .cpu.accelerate import accelerate
from .export import describe_model, export
from .fuse import fuse
from .hook import FuseHook
from .inference.runtime import Exported, load_exported

__all__ = [
    'Exported',
    'FuseHook',
    'accelerate',
    'describe_model',
    'export',
    'fuse',
    'load_exported',
]
