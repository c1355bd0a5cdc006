from .fpnlite import FPNLite
from .peers import DSODDenseNet, PeleeNet
from .vovnet import VoVNet

__all__ = ['DSODDenseNet', 'FPNLite', 'PeleeNet', 'VoVNet']
