# RTMDet-L with VoVNetV2-39 in place of CSPNeXt: its YOLO-style neck of two
# passes, its head, augmentations and 300 epochs. RTMDet itself takes BGR
# images; these weights expect RGB.
_base_ = ['mmdet::rtmdet/rtmdet_l_8xb32-300e_coco.py', '../_base_/runtime.py']

model = dict(
    data_preprocessor=_base_.vovnet39_ese.data_preprocessor,
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',
        **_base_.vovnet39_ese.backbone,
        out_indices=(1, 2, 3),
        norm_cfg=dict(type='SyncBN'),
    ),
    neck=dict(in_channels=[512, 768, 1024]),
)

train_dataloader = _base_.repeatable

# 8 GPUs x 32 images
auto_scale_lr = dict(enable=False, base_batch_size=256)
