from .cifar import CifarNet
from .fpnlite import FPNLite
from .peers import DSODDenseNet, PeleeNet
from .vovnet import VoVNet

__all__ = ['CifarNet', 'DSODDenseNet', 'FPNLite', 'PeleeNet', 'VoVNet']
