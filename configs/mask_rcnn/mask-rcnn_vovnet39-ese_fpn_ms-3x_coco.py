# Mask R-CNN of vovnet-detectron2 on VoVNetV2-39, trained as it was: 3x, the
# shorter side one of six from 640 to 800.
_base_ = [
    './mask-rcnn_vovnet39-ese_fpn_1x_coco.py',
    '../_base_/schedules/ms-3x.py',
]

train_pipeline = _base_.ms_mask_pipeline
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_epochs=_base_.epochs_3x)
warmup, steps = _base_.param_scheduler
param_scheduler = [warmup, _base_.steps_3x]
auto_scale_lr = dict(enable=False, base_batch_size=16)
