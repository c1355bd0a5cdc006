# RetinaNet in place of FCOS: same backbone and neck, data and schedule.
_base_ = ['_base_/digits.py', '_base_/retinanet.py']
