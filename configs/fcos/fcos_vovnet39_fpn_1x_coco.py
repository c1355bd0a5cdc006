# FCOS with its improvements (GN head, center sampling, centerness on the
# regression branch, normalised GIoU boxes) on VoVNet-39 and FPN, 1x on COCO.
#
# A 1x schedule assumes ImageNet weights. Any public VoVNet-39 file serves:
#   --cfg-options model.backbone.init_cfg.type=Pretrained
#                 model.backbone.init_cfg.checkpoint=vovnet39_torchvision.pth
_base_ = [
    'mmdet::fcos/'
    'fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco.py',
    '../_base_/runtime.py',
]

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        arch='V-39',
        out_indices=(1, 2, 3),
    ),
    neck=dict(in_channels=[512, 768, 1024], start_level=0),
)

train_dataloader = _base_.repeatable

# 8 GPUs x 2 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
