# VoVNetV2-19-dw, from timm's weights and their pixels.
vovnet19_dw_ese = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        arch='V-19-dw-eSE',
        stem_strides=(2, 1, 2),
        pool_padding=0,
        identity=None,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='vovnet://ese_vovnet19b_dw.ra_in1k',
        ),
    ),
)
