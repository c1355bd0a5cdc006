"""VoVNet and VoVNetV2 backbones for MMDetection and MMPretrain.

Importing the package registers names, and changes nothing else. What today's
PyTorch breaks in mmengine is repaired by importing :mod:`mmvovnet.engine`.
"""

from importlib import import_module
from typing import Any

from .models import VoVNet

__version__ = '0.1.0'
__all__ = ['VoVNet', 'checkpoint', 'weights']


def __getattr__(name: str) -> Any:
    """Import ``checkpoint`` and ``weights`` when they are first used."""
    if name in ('checkpoint', 'weights'):
        return import_module(f'.{name}', __name__)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
