# Less memory at the same speed, and the same results.
_base_ = '../fcos_vovnet39.py'

model = dict(backbone=dict(memory_efficient=True))
