# RefineDet320 on the paper's own VoVNet-39 (arXiv 1904.09730, Table 6). See
# fcos_vovnet39_fpn_1x_coco.py for how to start from ImageNet weights.
_base_ = ['../_base_/refinedet320.py', '../_base_/refinedet.py']
