from .fpnlite import FPNLite
from .vovnet import VoVNet

__all__ = ['FPNLite', 'VoVNet']
