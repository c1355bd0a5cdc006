# CIFAR-10 with shifts and mirror images, 'C10+' in DenseNet's tables.
_base_ = ['mmpretrain::_base_/datasets/cifar10_bs16.py', './recipe.py']

train_dataloader = dict(batch_size=64, persistent_workers=False)
val_dataloader = dict(batch_size=250)
test_dataloader = val_dataloader
