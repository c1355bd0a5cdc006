_base_ = ['_base_/densenet40.py', '_base_/cifar10.py']
