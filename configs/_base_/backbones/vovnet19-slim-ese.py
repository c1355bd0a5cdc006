# VoVNetV2-19-slim, from vision-toolbox's weights, with its pools and pixels. Stage
# 2 has 128 channels there, and 112 in the authors' network.
vovnet19_slim_ese = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        arch=dict(
            stem_channels=(64, 64, 128),
            conv_channels=(64, 80, 96, 112),
            out_channels=(128, 256, 384, 512),
            num_modules=(1, 1, 1, 1),
            num_layers=3,
            gate='eSE',
            _delete_=True,
        ),
        stem_strides=(2, 1, 1),
        pool_padding=1,
        identity='every',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='vovnet://vovnet19_slim_ese_toolbox',
        ),
    ),
)
