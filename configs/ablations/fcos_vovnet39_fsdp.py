# Weights, gradients and optimizer spread over the GPUs: FSDP of PyTorch.
_base_ = '../fcos_vovnet39.py'

runner_type = 'FlexibleRunner'
strategy = dict(type='FSDPStrategy')
