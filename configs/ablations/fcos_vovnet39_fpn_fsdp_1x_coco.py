# Weights, gradients and optimizer spread over the GPUs: FSDP of PyTorch.
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

runner_type = 'mmvovnet.FlexibleRunner'
strategy = dict(type='FSDPStrategy')
