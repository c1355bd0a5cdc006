# ATSS on VoVNetV2-39 and FPN, 1x on COCO. Its pixels are those of
# vovnet39-ese_8xb32_in1k.py and timm's weights, not of detectron2's.
_base_ = ['mmdet::atss/atss_r50_fpn_1x_coco.py', '../_base_/runtime.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        arch='V-39-eSE',
        out_indices=(1, 2, 3),
        norm_eval=True,
    ),
    neck=dict(in_channels=[512, 768, 1024], start_level=0),
)

train_dataloader = _base_.repeatable

# 8 GPUs x 2 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
