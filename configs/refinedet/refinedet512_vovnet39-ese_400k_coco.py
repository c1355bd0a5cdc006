# The network of VoVNetV2's authors, for its weights: stem, pools and identity
# adds are those of their PyTorch code, and so are the pixels (detectron2's).
_base_ = './refinedet512_vovnet39_400k_coco.py'

model = dict(
    data_preprocessor=dict(
        mean=[103.53, 116.28, 123.675],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False,
    ),
    backbone=dict(arch='V-39-eSE', stem_strides=(2, 1, 2), identity=True),
)
