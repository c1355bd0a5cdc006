# More weight on depth, half the learning rate, from the 24 epochs before:
# --cfg-options load_from=work_dirs/.../epoch_24.pth
_base_ = './fcos3d_vovnet99-ese_fpn_head-gn_8xb2-2x_nus-mono3d.py'

model = dict(
    train_cfg=dict(
        code_weight=[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.05, 0.05],
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.001))
