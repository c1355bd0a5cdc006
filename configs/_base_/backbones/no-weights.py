# Random weights in the authors' network: nothing may be frozen.
no_weights = dict(
    stem_strides=(2, 1, 2),
    pool_padding=0,
    identity=None,
    init_cfg=None,
    frozen_stages=-1,
    norm_eval=False,
    norm_cfg=dict(type='BN', requires_grad=True),
)
