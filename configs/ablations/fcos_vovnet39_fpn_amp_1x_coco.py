# Mixed precision; `tools/train.py --amp` does the same to any config.
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')
