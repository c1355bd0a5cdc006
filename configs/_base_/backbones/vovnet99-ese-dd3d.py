# VoVNetV2-99 for cameras, from DD3D's weights and their pixels. PETR's users know
# the FCOS3D weights, vovnet://fcos3d_vovnet_imgbackbone-remapped: same pixels.
vovnet99_ese_dd3d = dict(
    data_preprocessor=dict(
        mean=[103.53, 116.28, 123.675],
        std=[57.375, 57.12, 58.395],
        bgr_to_rgb=False,
    ),
    backbone=dict(
        arch='V-99-eSE',
        stem_strides=(2, 1, 2),
        pool_padding=0,
        identity=None,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='vovnet://depth_pretrained_v99-3jlw0p36-20210423_010520-model_final-remapped',
        ),
    ),
)
