import pytest
import torch
from torch import nn

from mmvovnet import VoVNet
from mmvovnet.analysis import count_cost


def build(*args, **kwargs):
    with torch.device('meta'):
        return VoVNet(*args, **kwargs)


# As published with timm, whose GMACs count a classifier too and, for a norm,
# two per value; and as calculated for the paper's nets.
@pytest.mark.parametrize(
    ('arch', 'kwargs', 'gmacs', 'mact'),
    [
        ('V-39', {}, 7.09, 6.73),
        ('V-57', {}, 8.95, 7.52),
        ('V-39', dict(stem_strides=(2, 1, 1)), 7.76, None),
        ('V-57', dict(stem_strides=(2, 1, 1)), 9.62, None),
        ('V-99-eSE', dict(gate_place='last'), 16.51, 11.27),
        ('V-19-slim-eSE', dict(gate_place='last'), 1.69, 3.52),
        ('V-19-dw-eSE', dict(gate_place='last'), 1.34, 8.25),
    ],
)
def test_published_figures(arch, kwargs, gmacs, mact):
    cost = count_cost(build(arch, **kwargs), (3, 224, 224))
    assert cost.macs / 1e9 == pytest.approx(gmacs, rel=0.01)
    if mact:
        assert cost.activations / 1e6 == pytest.approx(mact, abs=0.006)


def test_equation_1_has_its_minimum_at_equal_channels():
    # The same hw and the same macs: only the ratio of ci and co differs.
    costs = [
        count_cost(nn.Conv2d(ci, 4096 // ci, 3, padding=1), (ci, 8, 8))
        for ci in (16, 64, 256)
    ]
    assert costs[0].macs == costs[1].macs == costs[2].macs
    assert costs[1].memory_access == 8 * 8 * (64 + 64) + 9 * 64 * 64
    assert costs[1].memory_access < costs[0].memory_access
    assert costs[0].memory_access == costs[2].memory_access


def test_linear_and_grouped_layers():
    model = nn.Sequential(
        nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(32, 5)
    )
    cost = count_cost(model, (8, 4, 4))
    assert cost.macs == 32 * 9 + 32 * 5
    assert cost.activations == 32 + 5
    assert cost.parameters == 8 * 10 + 33 * 5


def test_counting_leaves_the_model_alone():
    model = VoVNet('V-27-slim')
    before = {k: v.clone() for k, v in model.state_dict().items()}
    count_cost(model, (3, 32, 32))
    assert model.training
    torch.testing.assert_close(dict(model.state_dict()), before)
    assert not any(m._forward_hooks for m in model.modules())


def test_pools_are_no_convs():
    assert (
        count_cost(
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2)), (3, 4, 4)
        ).macs
        == 16 * 12
    )


def test_transposed_conv():
    conv = nn.ConvTranspose2d(4, 6, 2, stride=2)
    cost = count_cost(conv, (4, 5, 5))
    assert cost.macs == 4 * 5 * 5 * (6 * 2 * 2)
    assert cost.activations == 6 * 10 * 10


def test_a_conv_with_one_output():
    cost = count_cost(nn.Conv2d(8, 1, 3), (8, 6, 6))
    assert cost.macs == 4 * 4 * 8 * 9
    assert cost.memory_access == 8 * 6 * 6 + 4 * 4 + 8 * 9
