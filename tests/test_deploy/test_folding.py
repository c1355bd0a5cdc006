import copy
import runpy
from types import SimpleNamespace

import pytest
import torch
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import DropPath
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmvovnet import VoVNet
from mmvovnet.deploy import fuse

from .small import ARCH, CONFIGS, settle, small_config


def count(model, kind):
    return sum(isinstance(module, kind) for module in model.modules())


def flatten(outputs):
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [tensor for part in outputs for tensor in flatten(part)]


@torch.no_grad()
def assert_equal(model, fused, **kwargs):
    assert count(model, _BatchNorm) and not count(fused, _BatchNorm)
    images = torch.rand(2, 3, 64, 75)
    expected = flatten(model(images, **kwargs))
    actual = flatten(fused(images, **kwargs))
    assert len(expected) == len(actual)
    for a, b in zip(actual, expected, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max()


@pytest.mark.parametrize(
    'options',
    [
        dict(arch=dict(ARCH, gate='none')),
        dict(arch=ARCH),
        dict(arch='V-19-slim-dw-eSE'),
        dict(arch=ARCH, bottleneck=True, gate='SE'),
        dict(arch=ARCH, gate='ECA', stem_strides=(2, 1, 1)),
        dict(arch=ARCH, norm_cfg=dict(type='SyncBN')),
    ],
    ids=lambda options: str(list(options.values())[-1]),
)
def test_backbone(options):
    model = settle(VoVNet(**options))
    before = copy.deepcopy(model.state_dict())
    fused = fuse(model)
    assert_equal(model, fused)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    assert not fused.training
    assert not any(p.requires_grad for p in fused.parameters())


def test_memory_format():
    fused = fuse(settle(VoVNet(arch=ARCH)))
    weight = fused.stages[0].blocks[0].layers[0].conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_drop_path_and_dropout_go():
    model = nn.Sequential(
        settle(VoVNet(arch=ARCH, drop_path_rate=0.5)), nn.Dropout()
    ).eval()
    assert count(model, DropPath)
    assert not count(fuse(model), DropPath | nn.Dropout)


def test_activation_works_in_place():
    model = ConvModule(2, 2, 1, norm_cfg=dict(type='BN'), inplace=False)
    fused = fuse(model.eval())
    assert fused.activate.inplace and not model.activate.inplace


@pytest.mark.parametrize(
    'order, norm_cfg',
    [
        (('act', 'conv', 'norm'), dict(type='BN')),
        (('norm', 'act', 'conv'), None),
    ],
)
def test_activation_of_the_input_does_not(order, norm_cfg):
    model = ConvModule(
        2, 2, 1, norm_cfg=norm_cfg, inplace=False, order=order
    ).eval()
    fused = fuse(model)
    assert not fused.activate.inplace
    x = torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(fused(x), model(x))


def test_shared_conv_with_norms_of_its_own():
    """RetinaSepBN's head: each level has its norms, all share the convs."""
    units = [ConvModule(2, 2, 1, norm_cfg=dict(type='BN')) for _ in range(2)]
    units[1].conv = units[0].conv
    model = settle(nn.ModuleList(units))
    fused = fuse(model)
    x = torch.randn(1, 2, 4, 4)
    for unit, expected in zip(fused, model, strict=True):
        torch.testing.assert_close(unit(x), expected(x))


def test_transposed_conv():
    model = settle(
        nn.Sequential(nn.ConvTranspose2d(3, 5, 2, 2), nn.BatchNorm2d(5))
    )
    fused = fuse(model)
    assert not count(fused, _BatchNorm)
    x = torch.randn(1, 3, 4, 4)
    torch.testing.assert_close(fused(x), model(x))


def test_deformable_conv():
    pytest.importorskip('mmcv.ops')
    options = dict(arch=ARCH, stage_with_dcn=(False, False, False, True))
    model = settle(VoVNet(**options, dcn=dict(type='DCNv2')))
    assert_equal(model, fuse(model))
    model = settle(VoVNet(**options, dcn=dict(type='DCN')))
    with pytest.raises(ValueError, match=r"layers\.0\.bn': there is no conv"):
        fuse(model)


@pytest.mark.parametrize(
    'config', ['fcos_vovnet39.py', 'demo/retinanet_vovnet27-slim_digits.py']
)
def test_detector(config):
    pytest.importorskip('mmdet')
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    cfg = small_config(config)
    model = settle(MODELS.build(cfg.model))
    fused = fuse(model)
    assert_equal(model, fused, mode='tensor')
    assert count(fused, nn.GroupNorm) == count(model, nn.GroupNorm)


def test_classifier():
    pytest.importorskip('mmpretrain')
    from mmengine.registry import init_default_scope
    from mmpretrain.registry import MODELS

    init_default_scope('mmpretrain')
    cfg = small_config('vovnet/vovnet39-ese_8xb32_in1k.py')
    model = settle(MODELS.build(cfg.model))
    assert_equal(model, fuse(model), mode='tensor')


def test_training_mode_is_refused():
    model = VoVNet(arch=ARCH)
    with pytest.raises(ValueError, match=r"'VoVNet' is in training mode.*ev"):
        fuse(model)
    model.eval().stages[1].blocks[0].train()
    with pytest.raises(ValueError, match=r"'stages\.1\.blocks\.0' is in tr"):
        fuse(model)


class Standardised(nn.Conv2d):
    """A conv whose weights are not used as they are."""

    def forward(self, x):
        weight = self.weight / self.weight.std((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight, self.bias)


@pytest.mark.parametrize(
    ('layers', 'reason'),
    [
        (
            [nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False)],
            "'1': it has no running statistics",
        ),
        ([nn.BatchNorm2d(2)], "'0': there is no conv"),
        (
            [nn.Conv2d(2, 2, 1), nn.ReLU(), nn.BatchNorm2d(2)],
            "'2': there is no conv",
        ),
        (
            [Standardised(2, 2, 1), nn.BatchNorm2d(2)],
            "'1': a Standardised followed by a BatchNorm2d is not just one",
        ),
    ],
)
def test_what_cannot_be_folded_is_refused(layers, reason):
    model = nn.Sequential(*layers).eval()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d) and norm.track_running_stats:
            norm.running_var.fill_(4)
    with pytest.raises(ValueError, match=f"can't fold {reason}"):
        fuse(model)


def test_conv_of_zeros():
    conv = nn.Conv2d(2, 2, 1, bias=False)
    model = nn.Sequential(conv, nn.BatchNorm2d(2)).eval()
    nn.init.zeros_(model[0].weight)
    x = torch.rand(1, 2, 4, 4)
    assert fuse(model)(x).equal(model(x))


def test_norm_before_its_conv_is_refused():
    model = ConvModule(
        2, 2, 1, norm_cfg=dict(type='BN'), order=('norm', 'conv', 'act')
    )
    with pytest.raises(ValueError, match="can't fold 'bn': there is no conv"):
        fuse(model.eval())


@pytest.mark.parametrize('wrapped', [False, True])
def test_tool_tests_the_folded_model(wrapped):
    tool = runpy.run_path(str(CONFIGS.parent / 'tools' / 'test.py'))
    model = VoVNet(arch=ARCH)
    runner = SimpleNamespace(
        model=nn.DataParallel(model) if wrapped else model
    )
    tool['replace_model'](fuse).before_test(runner)
    assert isinstance(runner.model, VoVNet)
    assert not count(runner.model, nn.BatchNorm2d)
