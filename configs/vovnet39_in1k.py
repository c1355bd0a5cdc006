# VoVNet-39 on ImageNet: start here.
_base_ = './vovnet/vovnet39_8xb32_in1k.py'
