_base_ = './deeplabv3plus_vovnet39-ese-d8_4xb4-160k_ade20k-512x512.py'

# Its first stage has a max pool too, as vision-toolbox's weights expect.
model = dict(
    data_preprocessor=_base_.vovnet99_ese.data_preprocessor,
    backbone=dict(**_base_.vovnet99_ese.backbone, strides=(2, 2, 1, 1)),
)
