"""VoVNet and VoVNetV2 backbones for MMDetection and MMPretrain.

Importing the package registers the backbone and mends, through mmengine's
own extension points, what today's PyTorch breaks in it: see
:mod:`mmvovnet.engine` and :mod:`mmvovnet.checkpoint`.
"""

from . import checkpoint, engine
from .models import VoVNet

__version__ = '0.1.0'
__all__ = ['VoVNet', 'checkpoint', 'engine']
