# VoVNet-39 with the paper's stem, from vision-toolbox's weights, with its pools
# and pixels.
vovnet39_toolbox = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        arch='V-39',
        stem_strides=(2, 1, 1),
        pool_padding=1,
        identity='every',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='vovnet://vovnet39_toolbox',
        ),
    ),
)
