# MMDetection's SSD300 with VoVNet-27-slim in place of VGG-16.
_base_ = [
    'mmdet::ssd/ssd300_coco.py',
    '../_base_/ssd300_vovnet27-slim.py',
    '../_base_/runtime.py',
]

model = _base_.ssd300_model
model.backbone.update(_base_.vovnet27_slim_toolbox.backbone)
train_dataloader = _base_.repeatable

# 8 GPUs x 8 images
auto_scale_lr = dict(enable=False, base_batch_size=64)
