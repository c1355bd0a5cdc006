_base_ = './vovnet99-narrow_digits.py'

model = dict(backbone=dict(arch=dict(num_modules=(1, 1, 2, 2))))
