from types import SimpleNamespace

import pytest
from torch import nn

from mmvovnet import VoVNet
from mmvovnet.deploy import FuseHook, accelerate, fuse

from .small import ARCH


@pytest.mark.parametrize('wrapped', [False, True])
@pytest.mark.parametrize('transform', [fuse, accelerate])
def test_fuse_hook(transform, wrapped):
    model = VoVNet(arch=ARCH)
    runner = SimpleNamespace(model=model)
    if wrapped:
        runner.model = nn.DataParallel(model)
    FuseHook(transform).before_test(runner)
    assert isinstance(runner.model, VoVNet)
    kinds = {type(module) for module in runner.model.modules()}
    assert nn.BatchNorm2d not in kinds
