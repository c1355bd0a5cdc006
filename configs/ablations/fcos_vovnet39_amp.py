# Mixed precision; `tools/train.py --amp` does the same to any config.
_base_ = '../fcos_vovnet39.py'

optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')
