# RefineDet512 on VoVNetV2-39, from timm's weights: stem, pools and identity adds
# are those of the authors' PyTorch code, the pixels are timm's.
_base_ = './refinedet512_vovnet39_400k_coco.py'

model = _base_.vovnet39_ese
