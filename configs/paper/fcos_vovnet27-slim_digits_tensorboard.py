# Curves in TensorBoard as well: pip install 'mmvovnet[analysis]'.
_base_ = '../demo/fcos_vovnet27-slim_digits.py'

visualizer = dict(
    vis_backends=[
        dict(type='LocalVisBackend'),
        dict(type='TensorboardVisBackend'),
    ]
)
