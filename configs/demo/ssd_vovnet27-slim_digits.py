# SSD in place of FCOS: same backbone, data and schedule.
_base_ = ['_base_/digits.py', '_base_/ssd.py']
