"""Small models with the statistics of trained ones."""

from pathlib import Path

import torch
from mmengine.config import Config
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

CONFIGS = Path(__file__).parents[2] / 'configs'

ARCH = dict(
    stem_channels=(8, 8, 16),
    conv_channels=(8, 8, 8, 8),
    out_channels=(16, 24, 32, 40),
    num_modules=(1, 1, 1, 2),
    num_layers=2,
    gate='eSE',
)


def settle(model: nn.Module) -> nn.Module:
    """Give every batch norm something to fold, and set eval mode."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return model.eval()


def small_config(name: str) -> Config:
    """Read a config and give it a small backbone."""
    cfg = Config.fromfile(CONFIGS / name)
    cfg.model.backbone.arch = ARCH
    cfg.model.backbone.pop('init_cfg', None)
    if 'head' in cfg.model:
        cfg.model.head.in_channels = 40
    else:
        cfg.model.neck.in_channels = [24, 32, 40]
    return cfg
