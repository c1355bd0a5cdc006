# Its weights: model.backbone.init_cfg.type=Pretrained
#   model.backbone.init_cfg.checkpoint=open-mmlab://detectron2/resnet101_caffe
_base_ = './refinedet320_r50-caffe_400k_coco.py'

model = dict(backbone=dict(depth=101))
