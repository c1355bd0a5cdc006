"""Checkpoints: read as data, whatever their origin."""

from .convert import convert, convert_file
from .describe import describe
from .download import fetch
from .errors import CheckpointError, UnsafeCheckpointError
from .loading import is_whole, load
from .pixels import PixelStatisticsHook
from .public import default_weights, public_files

__all__ = [
    'CheckpointError',
    'PixelStatisticsHook',
    'UnsafeCheckpointError',
    'convert',
    'convert_file',
    'default_weights',
    'describe',
    'fetch',
    'is_whole',
    'load',
    'public_files',
]
