"""VoVNet and VoVNetV2 backbones for MMDetection and MMPretrain.

Importing the package registers names, and changes nothing else. What today's
PyTorch breaks in mmengine is repaired by importing :mod:`mmvovnet.engine`.
"""

from . import checkpoint
from .models import VoVNet

__version__ = '0.1.0'
__all__ = ['VoVNet', 'checkpoint']
