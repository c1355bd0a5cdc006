from types import SimpleNamespace

import pytest
from torch import nn

from mmvovnet import VoVNet
from mmvovnet.deploy import FuseHook

from .small import ARCH


@pytest.mark.parametrize('wrapped', [False, True])
def test_fuse_hook(wrapped):
    model = VoVNet(arch=ARCH)
    runner = SimpleNamespace(model=model)
    if wrapped:
        runner.model = nn.DataParallel(model)
    FuseHook().before_test(runner)
    assert isinstance(runner.model, VoVNet)
    kinds = {type(module) for module in runner.model.modules()}
    assert nn.BatchNorm2d not in kinds
