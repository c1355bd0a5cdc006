"""What may happen to an accelerated model, and what its kernels refuse."""

import copy
import io
import logging

import pytest
import torch
from torch import nn

from mmvovnet import VoVNet
from mmvovnet.deploy import accelerate, fuse
from mmvovnet.deploy.cpu import packed
from mmvovnet.deploy.cpu.packed import (
    AggregateConv2d,
    WinogradConv2d,
    load_kernels,
)

from ..small import settle
from ..test_folding import count
from .test_accelerate import ARCH, assert_close, kernels

pytestmark = kernels


@pytest.fixture
def model():
    return settle(VoVNet(ARCH))


@pytest.fixture
def x():
    return torch.rand(1, 3, 64, 64)


def winograd():
    torch.manual_seed(0)
    return nn.Conv2d(16, 16, 3, padding=1).requires_grad_(False)


@pytest.mark.parametrize(
    'change',
    [
        lambda model: model.to(memory_format=torch.channels_last),
        lambda model: model.double().float(),
        copy.deepcopy,
        fuse,
        accelerate,
        lambda model: fuse(accelerate(fuse(model))),
    ],
    ids=['channels_last', 'double', 'deepcopy', 'fuse', 'again', 'all'],
)
@torch.no_grad()
def test_stays_right(model, x, change):
    fast = change(accelerate(model))
    assert count(fast, WinogradConv2d)
    assert count(fast, AggregateConv2d)
    for actual, expected in zip(fast(x), model(x), strict=True):
        assert_close(actual, expected)


@torch.no_grad()
def test_a_fused_model_is_accelerated(model, x):
    fast = accelerate(fuse(fuse(model)))
    assert count(fast, WinogradConv2d)
    for actual, expected in zip(fast(x), model(x), strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize('has_kernels', [True, False])
def test_unpickled(has_kernels, monkeypatch):
    conv = WinogradConv2d(winograd())
    x = torch.rand(1, 16, 8, 8)
    file = io.BytesIO()
    torch.save(conv, file)
    weights = 4 * conv.weight.numel()
    assert len(file.getvalue()) < 2 * weights + 10_000  # without `packed`
    file.seek(0)
    if not has_kernels:
        monkeypatch.setattr(packed, 'load_kernels', lambda: False)
    again = torch.load(file, weights_only=False)
    assert again.serves([x]) == has_kernels
    assert_close(again(x), conv(x))


@torch.no_grad()
def test_weights_changed_in_place():
    plain = winograd()
    conv = WinogradConv2d(plain)
    x = torch.rand(1, 16, 8, 8)
    conv.weight.mul_(2)
    conv.bias.add_(1)
    assert conv.serves([x])
    assert_close(conv(x), plain(x))


def test_weights_made_in_inference_mode():
    with torch.inference_mode():
        conv = WinogradConv2d(winograd())
        x = torch.rand(1, 16, 8, 8)
        assert conv.serves([x])
        assert_close(conv(x), conv.plain(x))


@pytest.mark.parametrize('name', ['weight', 'bias'])
def test_gradients_of_weights(name):
    conv = WinogradConv2d(winograd())
    getattr(conv, name).requires_grad_()
    conv(torch.rand(1, 16, 8, 8)).sum().backward()
    assert getattr(conv, name).grad.abs().sum() > 0


def test_gradient_of_any_map():
    conv = AggregateConv2d(nn.Conv2d(32, 16, 1).requires_grad_(False))
    xs = [torch.rand(1, 16, 4, 4) for _ in range(2)]
    xs[1].requires_grad_()
    conv(xs).sum().backward()
    assert xs[1].grad.abs().sum() > 0


def test_a_model_of_another_precision_is_folded(model, caplog):
    with caplog.at_level(logging.WARNING):
        fast = accelerate(model.double())
    assert not count(fast, WinogradConv2d)
    assert not count(fast, nn.BatchNorm2d)


def refused():
    x, w = torch.rand(1, 16, 8, 8), WinogradConv2d(winograd())
    a = AggregateConv2d(nn.Conv2d(32, 16, 1))
    narrow, small = torch.rand(1, 16, 8, 8), torch.rand(1, 16, 4, 4)
    ops = torch.ops.mmvovnet
    return {
        'channels': lambda: ops.winograd(
            torch.rand(1, 32, 8, 8), w.packed, w.offset, False
        ),
        'no multiple': lambda: ops.winograd(
            torch.rand(1, 17, 8, 8), w.packed, w.offset, False
        ),
        'dimensions': lambda: ops.winograd(x[0], w.packed, w.offset, False),
        'precision': lambda: ops.winograd(
            x.double(), w.packed, w.offset, False
        ),
        'bias': lambda: ops.winograd(x, w.packed, w.offset[:-1], False),
        'layout': lambda: ops.winograd(
            x, w.packed.transpose(0, 1), w.offset, False
        ),
        'no maps': lambda: ops.aggregate([], a.packed, a.offset, False),
        'sizes': lambda: ops.aggregate(
            [narrow, small], a.packed, a.offset, False
        ),
        'too few': lambda: ops.aggregate([narrow], a.packed, a.offset, False),
    }


@pytest.mark.parametrize('case', refused() if load_kernels() else [])
def test_kernels_check_what_they_read(case):
    with pytest.raises(RuntimeError, match='expected'):
        refused()[case]()
