_base_ = './refinedet512_vovnet39_400k_coco.py'

model = _base_.vovnet57_toolbox
