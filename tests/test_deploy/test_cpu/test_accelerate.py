import copy
import shutil
import sys

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmvovnet import VoVNet
from mmvovnet.deploy import accelerate, fuse
from mmvovnet.deploy.cpu.accelerate import (
    AggregateConv2d,
    WinogradConv2d,
    load_kernels,
)

from ..small import ARCH as SMALL
from ..small import settle, small_config
from ..test_folding import count, flatten

ARCH = dict(
    stem_channels=(16, 16, 16),
    conv_channels=(16, 32, 16, 48),
    out_channels=(16, 32, 48, 80),
    num_modules=(1, 1, 1, 2),
    num_layers=2,
)

# Where these are there, kernels that do not compile fail these tests.
kernels = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith('AVX')
    or not shutil.which('g++'),
    reason='the kernels need AVX2 and g++',
)


@kernels
def test_the_kernels_compile():
    assert load_kernels()


def assert_close(actual, expected):
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 1e-4 * expected.abs().max()


@kernels
@pytest.mark.parametrize('size', [(1, 1), (4, 4), (5, 13), (30, 31)])
@pytest.mark.parametrize('channels', [(16, 16), (48, 80), (32, 64)])
@pytest.mark.parametrize('batch', [1, 3])
@torch.no_grad()
def test_winograd(size, channels, batch):
    torch.manual_seed(0)
    conv = nn.Conv2d(*channels, 3, padding=1, bias=batch == 1)
    x = torch.randn(batch, channels[0], *size)
    expected = conv(x)
    for layout in torch.contiguous_format, torch.channels_last:
        actual = WinogradConv2d(conv)(x.to(memory_format=layout))
        assert_close(actual, expected)
    assert_close(WinogradConv2d(conv, activate=True)(x), expected.relu())


@kernels
@pytest.mark.parametrize(
    'options',
    [
        dict(padding=1, padding_mode='reflect'),
        dict(padding=0),
        dict(padding=1, stride=2),
        dict(padding=2, dilation=2),
        dict(padding=1, groups=2),
    ],
    ids=lambda options: ' '.join(options),
)
@torch.no_grad()
def test_other_convs_are_left_alone(options):
    model = nn.Sequential(nn.Conv2d(32, 32, 3, **options)).eval()
    fast = accelerate(model)
    assert not count(fast, WinogradConv2d)
    x = torch.rand(1, 32, 9, 9)
    assert_close(fast(x), model(x))


@kernels
@pytest.mark.parametrize('size', [(1, 1), (7, 9), (40, 41)])
@pytest.mark.parametrize('channels', [(3, 5, 16), (16, 48)])
@torch.no_grad()
def test_aggregate(size, channels):
    torch.manual_seed(0)
    xs = [torch.randn(2, c, *size) for c in channels]
    conv = nn.Conv2d(sum(channels), 80, 1)
    expected = conv(torch.cat(xs, 1))
    assert_close(AggregateConv2d(conv)(xs), expected)
    assert_close(AggregateConv2d(conv, activate=True)(xs), expected.relu())


@kernels
@pytest.mark.parametrize('threads', [1, 2, 5])
@torch.no_grad()
def test_threads_share_the_work(threads):
    before = torch.get_num_threads()
    conv = nn.Conv2d(16, 16, 3, padding=1)
    x = torch.randn(1, 16, 50, 50)
    expected = conv(x)
    try:
        torch.set_num_threads(threads)
        assert_close(WinogradConv2d(conv)(x), expected)
    finally:
        torch.set_num_threads(before)


@kernels
@torch.no_grad()
def test_no_images():
    x = torch.rand(0, 16, 8, 8)
    conv = WinogradConv2d(nn.Conv2d(16, 32, 3, padding=1))
    assert conv(x).shape == (0, 32, 8, 8)
    conv = AggregateConv2d(nn.Conv2d(32, 48, 1))
    assert conv([x, x]).shape == (0, 48, 8, 8)


@kernels
@torch.no_grad()
def test_not_a_number_is_kept():
    x = torch.zeros(1, 16, 8, 8)
    x[0, 3, 2, 2] = np.nan
    conv = nn.Conv2d(16, 16, 3, padding=1)
    assert WinogradConv2d(conv, activate=True)(x).isnan().any()


@kernels
@pytest.mark.parametrize(
    'options',
    [
        dict(arch='V-19-slim-eSE'),
        dict(arch='V-19-slim-dw-eSE'),
        dict(arch='V-27-slim', bottleneck=True),
        dict(arch=ARCH, norm_cfg=dict(type='GN', num_groups=4)),
        dict(arch=ARCH, act_cfg=dict(type='LeakyReLU')),
        dict(arch=SMALL),
    ],
    ids=lambda options: str(list(options.values())),
)
@torch.no_grad()
def test_backbone(options):
    model = settle(VoVNet(**options))
    fast = accelerate(model)
    widths = [
        width
        for width, modules in zip(
            model.arch['out_channels'], model.arch['num_modules'], strict=True
        )
        for _ in range(modules)
    ]
    assert count(fast, AggregateConv2d) == sum(w % 16 == 0 for w in widths)
    narrow_or_depthwise = options['arch'] in (SMALL, 'V-19-slim-dw-eSE')
    assert bool(count(fast, WinogradConv2d)) != narrow_or_depthwise
    assert not count(model, WinogradConv2d)
    x = torch.rand(2, 3, 64, 75)
    for actual, expected in zip(fast(x), model(x), strict=True):
        assert_close(actual, expected)


@kernels
@torch.no_grad()
def test_other_weights_can_be_loaded():
    model = settle(VoVNet(ARCH))
    torch.manual_seed(1)
    other = fuse(VoVNet(ARCH).eval())
    fast = accelerate(model)
    assert fast.state_dict().keys() == other.state_dict().keys()
    fast.load_state_dict(other.state_dict())
    x = torch.rand(1, 3, 64, 64)
    for model in fast, copy.deepcopy(fast):
        for actual, expected in zip(model(x), other(x), strict=True):
            assert_close(actual, expected)


@kernels
def test_pytorch_serves_the_rest():
    model = settle(VoVNet(ARCH))
    fused, fast = fuse(model), accelerate(model)
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    fused(x)[-1].sum().backward()
    expected, x.grad = x.grad, None
    fast(x)[-1].sum().backward()
    assert_close(x.grad, expected)

    x = x.detach()
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(fast(x)[-1], fused(x)[-1])
    assert torch.equal(
        fast.double()(x.double())[-1], fused.double()(x.double())[-1]
    )


@kernels
@pytest.mark.filterwarnings('ignore')
def test_export_holds_no_kernel():
    fast = accelerate(settle(VoVNet(ARCH)))
    x = torch.rand(1, 3, 64, 64)
    assert 'mmvovnet::' not in str(torch.jit.trace(fast, x).graph)
    assert 'mmvovnet.' not in str(torch.export.export(fast, (x,)).graph)


@kernels
@pytest.mark.slow
@torch.no_grad()
def test_compile():
    fast = accelerate(settle(VoVNet(ARCH)))
    x = torch.rand(1, 3, 64, 64)
    compiled = torch.compile(fast, fullgraph=True)
    for actual, expected in zip(compiled(x), fast(x), strict=True):
        assert_close(actual, expected)


@kernels
@torch.no_grad()
def test_detector_and_classifier():
    init_default_scope('mmdet')
    cfg = small_config('fcos_vovnet39.py').model
    detector = settle(MODELS.build(cfg))
    fast = accelerate(detector)
    assert count(fast, WinogradConv2d) > count(fast.backbone, WinogradConv2d)
    x = torch.rand(1, 3, 64, 96)
    outputs = zip(flatten(fast(x)), flatten(detector(x)), strict=True)
    for actual, expected in outputs:
        assert_close(actual, expected)

    init_default_scope('mmpretrain')
    cfg = small_config('vovnet/vovnet39-ese_8xb32_in1k.py').model
    classifier = settle(MODELS.build(cfg))
    assert_close(accelerate(classifier)(x), classifier(x))


def test_ops_of_mmcv_are_refused():
    init_default_scope('mmdet')
    cfg = small_config(
        'faster_rcnn/faster-rcnn_vovnet39-ese_fpn_1x_coco.py'
    ).model
    cfg.neck.in_channels = [16, 24, 32, 40]
    with pytest.raises(ValueError, match=r"'roi_head.*': RoIAlign of mmcv"):
        accelerate(settle(MODELS.build(cfg)))


@pytest.mark.parametrize('reason', ['compiler', 'instructions'])
def test_without_kernels_the_model_is_folded(monkeypatch, tmp_path, reason):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    if reason == 'compiler':
        monkeypatch.setenv('CXX', 'false')
        monkeypatch.setattr(
            torch.backends.cpu, 'get_cpu_capability', lambda: 'AVX2'
        )
    else:
        monkeypatch.setattr(
            torch.backends.cpu, 'get_cpu_capability', lambda: 'DEFAULT'
        )
    module = sys.modules[accelerate.__module__]
    monkeypatch.setattr(module, 'load_kernels', load_kernels.__wrapped__)
    fast = accelerate(settle(VoVNet(ARCH)))
    assert not count(fast, WinogradConv2d)
    assert not count(fast, nn.BatchNorm2d)
    assert not list(tmp_path.rglob('*.so'))


@pytest.mark.parametrize('native', [True, False])
def test_names_the_faster_form_of_this_cpu(native, monkeypatch):
    logged = []
    module = sys.modules[accelerate.__module__]
    monkeypatch.setattr(module, 'has_bfloat16', lambda: native)
    monkeypatch.setattr(module, 'load_kernels', lambda: False)
    monkeypatch.setattr(module, 'print_log', lambda *a: logged.append(a[0]))
    accelerate(settle(VoVNet(ARCH)))
    assert len(logged) == native
    assert all('--format openvino --int8' in text for text in logged)
