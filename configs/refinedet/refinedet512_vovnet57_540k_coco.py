_base_ = './refinedet512_vovnet39_540k_coco.py'

model = _base_.vovnet57_toolbox
