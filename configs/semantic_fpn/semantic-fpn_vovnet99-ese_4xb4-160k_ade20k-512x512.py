_base_ = './semantic-fpn_vovnet39-ese_4xb4-160k_ade20k-512x512.py'

model = _base_.vovnet99_ese
