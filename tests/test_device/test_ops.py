"""The ops of mmcv that the configs use, against themselves on a CPU."""

import copy

import pytest
import torch

ops = pytest.importorskip('mmcv.ops', reason='mmcv has no ops')


def boxes(count=200):
    corners = torch.rand(count, 2) * 40
    return torch.cat([corners, corners + 4 + torch.rand(count, 2) * 20], 1)


def gradients(module, device, *inputs):
    """The output, and the gradients of the first input and the weights."""
    module = copy.deepcopy(module).to(device)
    x, *others = (i.to(device) for i in inputs)
    x = x.requires_grad_(x.is_floating_point())
    out = module(x, *others)
    out.square().sum().backward()
    return [out.detach(), x.grad, *(p.grad for p in module.parameters())]


def assert_equals_cpu(module, device, *inputs):
    found = gradients(module, device, *[i.detach().clone() for i in inputs])
    expected = gradients(module, 'cpu', *inputs)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-3)


def test_nms(device):
    torch.manual_seed(0)
    found, scores = boxes(), torch.rand(200)
    expected = ops.nms(found, scores, 0.5)[1]
    assert 0 < len(expected) < 200
    _, keep = ops.nms(found.to(device), scores.to(device), 0.5)
    assert torch.equal(keep.cpu(), expected)


def test_roi_align(device):
    torch.manual_seed(0)
    rois = torch.cat([torch.randint(2, (9, 1)).float(), boxes(9)], 1)
    align = ops.RoIAlign(7, 0.5, sampling_ratio=2)
    assert_equals_cpu(align, device, torch.rand(2, 8, 32, 32), rois)


@pytest.mark.parametrize(
    'kind', ['DeformConv2dPack', 'ModulatedDeformConv2dPack']
)
def test_deformable_convs(device, kind):
    torch.manual_seed(0)
    conv = getattr(ops, kind)(8, 8, 3, padding=1)
    torch.nn.init.normal_(conv.conv_offset.weight, std=0.1)
    assert_equals_cpu(conv, device, torch.rand(2, 8, 16, 16))
