# What every config of this package adds to OpenMMLab's own runtime: a missing
# install is named as such, checkpoints load on today's PyTorch, and training
# starts on machines without CUDA, one process or many.
#
# Each backbone with the weights that it starts from and their pixels is a name:
# `model = _base_.vovnet57_ese` changes the backbone.
_base_ = [
    './backbones/no-weights.py',
    './backbones/vovnet19-dw-ese.py',
    './backbones/vovnet19-ese.py',
    './backbones/vovnet19-slim-ese.py',
    './backbones/vovnet27-slim-toolbox.py',
    './backbones/vovnet27-slim.py',
    './backbones/vovnet39-ese.py',
    './backbones/vovnet39-toolbox.py',
    './backbones/vovnet39.py',
    './backbones/vovnet57-ese.py',
    './backbones/vovnet57-toolbox.py',
    './backbones/vovnet57.py',
    './backbones/vovnet99-ese-dd3d.py',
    './backbones/vovnet99-ese.py',
]

custom_imports = dict(imports=['mmvovnet.engine'], allow_failed_imports=False)
runner_type = 'mmvovnet.Runner'

# For `train_dataloader`: a resumed run then repeats the augmentations of the
# uninterrupted one.
repeatable = dict(persistent_workers=False)
