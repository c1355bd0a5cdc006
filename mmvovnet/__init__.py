"""VoVNet and VoVNetV2 backbones for MMDetection and MMPretrain.

Importing the package registers names, and changes nothing else. What today's
PyTorch breaks in mmengine is repaired by importing :mod:`mmvovnet.engine`.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

# A machine that only runs exported files has no mmengine.
if find_spec('mmengine'):
    from . import registry  # noqa: F401

if TYPE_CHECKING:
    from .models import VoVNet

__version__ = '0.1.0'
__all__ = ['VoVNet', 'checkpoint', 'weights']


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: PyTorch takes seconds."""
    if name == 'VoVNet':
        return import_module('.models', __name__).VoVNet
    if name in ('checkpoint', 'weights'):
        return import_module(f'.{name}', __name__)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
