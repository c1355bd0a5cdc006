"""Small models of the configs: few layers, wide enough for neck and head."""

import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope

from mmvovnet import VoVNet

from ..test_configs.files import CONFIGS, load, name
from ..test_configs.test_steps import batch

NARROW = dict(
    stem_channels=(8, 8, 16),
    conv_channels=(8, 8, 8, 8),
    num_modules=(1, 1, 1, 1),
    num_layers=1,
)


# What is ours in them differs; the others are for `make test-all`.
FAST = {
    'centermask-lite_vovnet19-ese_fpn_ms-4x_coco',
    'fcos_vovnet39_fpn_1x_coco',
    'refinedet320_vovnet27-slim_400k_coco',
    'ssd300_vovnet27-slim_120e_coco',
    'vovnet39_8xb32_in1k',
}


def configs(paths=CONFIGS):
    """Every config, most marked as slow."""
    return [
        pytest.param(
            path,
            id=name(path),
            marks=[] if path.stem in FAST else [pytest.mark.slow],
        )
        for path in paths
    ]


def build(path, monkeypatch):
    """A config's model, and a function that makes batches for it."""
    for arch, settings in VoVNet.arch_settings.items():
        monkeypatch.setitem(VoVNet.arch_settings, arch, settings | NARROW)
    cfg = load(path)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        if 'data_preprocessor' in cfg:
            cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
        if cfg.default_scope == 'mmseg':  # it pads to the size of its crops
            cfg.model.data_preprocessor.size = (64, 64)
        keep_all(cfg.model)
        cfg.model.backbone.init_cfg = None
        norm = cfg.model.backbone.get('norm_cfg') or {}
        if norm.get('type') == 'GN':  # of 32 groups
            norm.num_groups = 8
        torch.manual_seed(0)
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
    return model, lambda: batch(cfg)


def keep_all(node):
    """Let the worst box be a prediction, of ten."""
    for key, inner in node.items() if isinstance(node, dict) else ():
        if key in ('score_thr', 'max_per_img', 'nms_pre'):
            node[key] = 0.0 if key == 'score_thr' else 10
        keep_all(inner)
