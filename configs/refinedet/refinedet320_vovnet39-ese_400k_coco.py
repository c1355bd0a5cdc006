# The network of VoVNetV2's authors, for its weights: stem, pools and identity
# adds are those of their PyTorch code, and so are the pixels (detectron2's).
_base_ = './refinedet320_vovnet39_400k_coco.py'

model = _base_.vovnet39_ese
