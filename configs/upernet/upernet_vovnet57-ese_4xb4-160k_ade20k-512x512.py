_base_ = './upernet_vovnet39-ese_4xb4-160k_ade20k-512x512.py'

model = _base_.vovnet57_ese
