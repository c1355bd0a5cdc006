"""Checkpoints: read as data, whatever their origin."""

from .convert import convert, convert_file
from .describe import describe
from .loading import (
    CheckpointError,
    UnsafeCheckpointError,
    is_whole,
    load,
)
from .pixels import PixelStatisticsHook

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
