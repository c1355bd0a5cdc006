# FCOS learns digits on photographs from scratch.
_base_ = ['_base_/digits.py', '_base_/fcos.py']
