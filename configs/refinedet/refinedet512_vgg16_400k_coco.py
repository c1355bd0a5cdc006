# RefineDet's first form (arXiv 1711.06897): plain predictors, no norms but L2.
# Its weights: model.backbone.init_cfg.type=Pretrained
#              model.backbone.init_cfg.checkpoint=open-mmlab://vgg16_caffe
_base_ = './refinedet512_vovnet39_400k_coco.py'

model = dict(
    data_preprocessor=dict(std=[1.0, 1.0, 1.0]),
    backbone=dict(_delete_=True, type='mmvovnet.RefineDetVGG'),
    neck=dict(
        in_channels=[512, 512, 1024],
        residual=False,
        norm_cfg=None,
        l2_scales=(10, 8),
    ),
    arm_head=dict(in_channels=[512, 512, 1024, 512], planes=None),
    bbox_head=dict(planes=None),
)
