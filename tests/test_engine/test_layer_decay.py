import pytest
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmvovnet import VoVNet


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.img_backbone = VoVNet('V-27-slim')
        self.neck = nn.Conv2d(512, 8, 1)


def rates(model, **paramwise):
    cfg = dict(
        optimizer=dict(type='SGD', lr=0.1),
        constructor='mmvovnet.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=paramwise,
    )
    groups = build_optim_wrapper(model, cfg).optimizer.param_groups
    found = {id(g['params'][0]): g['lr'] for g in groups}
    return {name: found[id(p)] for name, p in model.named_parameters()}


def test_rates_fall_towards_the_stem():
    found = rates(Detector(), layer_decay_rate=0.5, bias_lr_mult=2)
    expected = {
        'img_backbone.stem.0.conv.weight': 1 / 32,
        'img_backbone.stages.0.blocks.0.layers.0.conv.weight': 1 / 16,
        'img_backbone.stages.3.blocks.0.layers.4.conv.weight': 1 / 2,
        'neck.weight': 1,
        'neck.bias': 2,
    }
    assert {k: found[k] / 0.1 for k in expected} == pytest.approx(expected)


def test_rates_that_cannot_be():
    with pytest.raises(ValueError, match='layer_decay_rate=1.5 must be'):
        rates(Detector(), layer_decay_rate=1.5)
    with pytest.raises(ValueError, match='Sequential has no backbone'):
        rates(nn.Sequential(nn.Linear(1, 1)), layer_decay_rate=0.5)
