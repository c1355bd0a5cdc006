# RTMDet-L with VoVNetV2-39 in place of CSPNeXt: its YOLO-style neck of two
# passes, its head, augmentations and 300 epochs. Its pixels are those of
# vovnet39-ese_8xb32_in1k.py and timm's weights; RTMDet itself takes BGR.
_base_ = ['mmdet::rtmdet/rtmdet_l_8xb32-300e_coco.py', '../_base_/runtime.py']

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        arch='V-39-eSE',
        out_indices=(1, 2, 3),
        norm_cfg=dict(type='SyncBN'),
    ),
    neck=dict(in_channels=[512, 768, 1024]),
)

train_dataloader = _base_.repeatable

# 8 GPUs x 32 images
auto_scale_lr = dict(enable=False, base_batch_size=256)
