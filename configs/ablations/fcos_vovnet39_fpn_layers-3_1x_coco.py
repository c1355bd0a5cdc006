# Three 3x3 convs in a module instead of five.
# No weights fit: it starts from scratch.
_base_ = '../fcos/fcos_vovnet39_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        init_cfg=None,
        arch=dict(
            _delete_=True,
            stem_channels=(64, 64, 128),
            num_layers=3,
            conv_channels=(128, 160, 192, 224),
            out_channels=(256, 512, 768, 1024),
            num_modules=(1, 1, 2, 2),
        ),
    )
)
