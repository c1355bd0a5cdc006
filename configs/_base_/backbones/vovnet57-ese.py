# VoVNetV2-57, from timm's weights and their pixels. Gates that these lack start
# open.
vovnet57_ese = dict(
    data_preprocessor=dict(
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        arch='V-57-eSE',
        stem_strides=(2, 1, 2),
        pool_padding=0,
        identity=None,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='vovnet://ese_vovnet57b.ra4_e3600_r256_in1k',
        ),
    ),
)
