# The gate in the last module of a stage only, as timm has it.
_base_ = './fcos_vovnet39_fpn_gate-ese_1x_coco.py'

model = dict(backbone=dict(gate_place='last'))
