_base_ = './refinedet320_vovnet39_400k_coco.py'

model = _base_.vovnet57_toolbox
