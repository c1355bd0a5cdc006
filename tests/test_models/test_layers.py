import pytest
import torch
import torch.nn.functional as F

from mmvovnet.models.layers import (
    ECAGate,
    ESEGate,
    SEGate,
    conv_unit,
    max_pool,
)


def test_dense_unit_is_conv_norm_act():
    unit = conv_unit(8, 12, stride=2, norm_cfg=dict(type='BN')).eval()
    x = torch.randn(2, 8, 7, 9)
    with torch.no_grad():
        unit.bn.running_mean.normal_()
        expected = F.conv2d(x, unit.conv.weight, stride=2, padding=1)
        expected = F.relu(unit.bn(expected))
        assert torch.equal(unit(x), expected)


def test_depthwise_unit_has_one_norm():
    unit = conv_unit(8, 12, depthwise=True, norm_cfg=dict(type='BN')).eval()
    names = [name for name, _ in unit.named_parameters()]
    assert names == [
        'depthwise_conv.conv.weight',
        'pointwise_conv.conv.weight',
        'pointwise_conv.bn.weight',
        'pointwise_conv.bn.bias',
    ]
    x = torch.randn(1, 8, 5, 5)
    with torch.no_grad():
        out = F.conv2d(x, unit.depthwise_conv.conv.weight, padding=1, groups=8)
        out = F.conv2d(out, unit.pointwise_conv.conv.weight)
        expected = F.relu(unit.pointwise_conv.bn(out))
        torch.testing.assert_close(unit(x), expected)


@pytest.mark.parametrize(('padding', 'size'), [(0, (4, 3)), (1, (5, 3))])
def test_a_pool_halves(padding, size):
    pool = max_pool(padding=padding)
    assert pool(torch.randn(1, 8, 9, 6)).shape[2:] == size


@pytest.mark.parametrize('size', [8, 9])
@pytest.mark.parametrize('dilation', [1, 2])
def test_a_pool_of_stride_1_has_the_maxima_of_stride_2(size, dilation):
    x = torch.randn(1, 4, size, size)
    dense = F.interpolate(x, scale_factor=dilation)  # neighbours are apart
    dense = max_pool(1, dilation)(dense)
    assert dense.shape[2:] == (dilation * size,) * 2
    step = 2 * dilation
    assert torch.equal(
        dense[..., dilation::step, dilation::step], max_pool()(x)
    )


def test_se_by_hand():
    gate = SEGate(8)
    x = torch.randn(2, 8, 3, 3)
    mean = x.mean((2, 3))
    hidden = F.relu(F.linear(mean, gate.fc1.weight.flatten(1), gate.fc1.bias))
    weight = F.linear(hidden, gate.fc2.weight.flatten(1), gate.fc2.bias)
    expected = x * torch.sigmoid(weight)[:, :, None, None]
    assert gate.fc1.out_channels == 2
    torch.testing.assert_close(gate(x), expected)


def test_ese_by_hand():
    gate = ESEGate(8)
    x = 5 * torch.randn(2, 8, 3, 3)
    weight = F.linear(x.mean((2, 3)), gate.fc.weight.flatten(1), gate.fc.bias)
    expected = x * (F.relu6(weight + 3) / 6)[:, :, None, None]
    torch.testing.assert_close(gate(x), expected)


@pytest.mark.parametrize(
    ('channels', 'size'),
    [(8, 3), (64, 3), (128, 5), (256, 5), (1024, 5), (2**13, 7)],
)
def test_eca_kernel_size(channels, size):
    gate = ECAGate(channels)
    assert gate.conv.kernel_size == (size,)
    x = torch.randn(2, channels, 2, 3)
    assert gate(x).shape == x.shape
    # The weight of a channel is one number for all pixels.
    ratio = gate(x) / x
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(x), atol=1e-5)
