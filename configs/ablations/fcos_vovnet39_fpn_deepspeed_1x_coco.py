# Optimizer and gradients spread over the GPUs: ZeRO-2 of DeepSpeed.
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

runner_type = 'mmvovnet.FlexibleRunner'
strategy = dict(type='DeepSpeedStrategy', zero_optimization=dict(stage=2))
optim_wrapper = dict(_base_.optim_wrapper, type='DeepSpeedOptimWrapper')
optim_wrapper.update(_delete_=True)
optim_wrapper.pop('clip_grad')
