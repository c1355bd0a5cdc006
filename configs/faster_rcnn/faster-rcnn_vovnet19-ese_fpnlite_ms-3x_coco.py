# The light Faster R-CNN of vovnet-detectron2: FPN and heads of 128 channels,
# the FPN depthwise separable.
_base_ = './faster-rcnn_vovnet19-ese_fpn_ms-3x_coco.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmvovnet.FPNLite',
        in_channels=[256, 512, 768, 1024],
        out_channels=128,
        num_outs=5,
    ),
    rpn_head=dict(in_channels=128, feat_channels=128),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=128),
        bbox_head=dict(in_channels=128),
    ),
)
