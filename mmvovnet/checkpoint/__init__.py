"""Checkpoints: read as data, whatever their origin."""

from . import adapt  # noqa: F401, before weights reach a VoVNet
from .convert import convert, convert_file
from .describe import describe
from .loading import (
    TORCH_LOADS_SAFELY,
    CheckpointError,
    UnsafeCheckpointError,
    is_whole,
    load,
)
from .pixels import PixelStatisticsHook

if TORCH_LOADS_SAFELY:  # with older ones mmengine's own loaders still work
    from . import schemes  # noqa: F401

__all__ = [
    'CheckpointError',
    'PixelStatisticsHook',
    'UnsafeCheckpointError',
    'convert',
    'convert_file',
    'describe',
    'is_whole',
    'load',
]
