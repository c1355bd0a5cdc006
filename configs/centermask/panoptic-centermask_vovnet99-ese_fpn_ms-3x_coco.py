# panoptic_centermask_V_99_ms_3x.pth loads as it is.
_base_ = './panoptic-centermask_vovnet39-ese_fpn_ms-3x_coco.py'

model = _base_.vovnet99_ese
