# Less memory at the same speed, and the same results.
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(backbone=dict(memory_efficient=True))
