# What every config of this package adds to OpenMMLab's own runtime: a missing
# install is named as such, checkpoints load on today's PyTorch, and training
# starts on machines without CUDA, one process or many.
custom_imports = dict(imports=['mmvovnet.engine'], allow_failed_imports=False)
runner_type = 'mmvovnet.Runner'

# For `train_dataloader`: a resumed run then repeats the augmentations of the
# uninterrupted one.
repeatable = dict(persistent_workers=False)
