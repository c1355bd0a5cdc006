# Its weights: model.backbone.init_cfg.type=Pretrained
#   model.backbone.init_cfg.checkpoint=open-mmlab://detectron2/resnet101_caffe
_base_ = './refinedet320_resnet50.py'

model = dict(backbone=dict(depth=101))
