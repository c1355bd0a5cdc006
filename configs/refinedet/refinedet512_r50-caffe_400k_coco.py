# The stride is in the first conv of a block, as in the published counts. Its
# weights: model.backbone.init_cfg.type=Pretrained
#          model.backbone.init_cfg.checkpoint=open-mmlab://detectron2/resnet50_caffe
_base_ = './refinedet512_vovnet39_400k_coco.py'

model = dict(
    data_preprocessor=dict(
        mean=[103.53, 116.28, 123.675],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False,
    ),
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=50,
        out_indices=(1, 2, 3),
        style='caffe',
    ),
    neck=dict(in_channels=[512, 1024, 2048]),
    arm_head=dict(in_channels=[512, 1024, 2048, 512]),
)
