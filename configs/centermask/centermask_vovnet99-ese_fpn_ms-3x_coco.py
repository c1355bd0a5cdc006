# centermask2-V-99-eSE-FPN-ms-3x.pth loads as it is.
_base_ = './centermask_vovnet39-ese_fpn_ms-3x_coco.py'

model = _base_.vovnet99_ese
