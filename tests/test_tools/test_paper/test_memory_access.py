from math import sqrt

import pytest
from benchmark import build_row
from paper import check, memory_access
from paper.memory_access import layers, per_stage
from torch import nn

from mmvovnet.analysis import count_cost


def test_counts_by_hand():
    model = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.Conv2d(12, 12, 1),
        nn.ReLU(),
        nn.Conv2d(12, 48, 3, stride=2, padding=1),
    )
    first, equal, strided = layers(model, 10)
    assert first.macs == 100 * 3 * 12 * 9
    assert first.cost == 100 * (3 + 12) + 9 * 3 * 12
    assert first.bound == 2 * 100 * 6 + 9 * 3 * 12
    assert equal.cost == equal.bound == 2 * 100 * 12 + 12 * 12
    assert strided.cost == 100 * 12 + 25 * 48 + 9 * 12 * 48
    assert strided.bound == strided.cost  # 1200 values in, 1200 out
    assert (strided.name, strided.kernel, strided.stride) == ('3', 3, 2)
    assert per_stage([first, equal, strided]) == {
        1: (first.cost + equal.cost, first.bound + equal.bound),
        2: (strided.cost, strided.bound),
    }


@pytest.mark.parametrize(('ci', 'co'), [(16, 256), (64, 64), (32, 128)])
def test_bound_is_that_of_the_paper(ci, co):
    """MAC >= 2 sqrt(hwB / k^2) + B / hw, with B = k^2 hw ci co."""
    conv = nn.Conv2d(ci, co, 3, padding=1)
    net = nn.Sequential(nn.Conv2d(3, ci, 1), conv)
    layer = layers(net, 8)[1]
    hw, b = 64, layer.macs
    assert layer.bound == pytest.approx(2 * sqrt(hw * b / 9) + b / hw)
    assert (layer.cost == layer.bound) == (ci == co)


def test_densenet_by_hand():
    pytest.importorskip('torchvision', reason='torchvision is not installed')
    found = layers(build_row('torchvision:densenet121').to('meta'), 224)
    (layer,) = (x for x in found if x.name == 'denseblock1.denselayer1.conv2')
    assert (layer.in_channels, layer.out_channels) == (128, 32)
    assert layer.cost == 56 * 56 * (128 + 32) + 9 * 128 * 32
    assert layer.bound == 2 * 56 * 56 * 64 + 9 * 128 * 32


def test_layers_add_up_to_the_network():
    model = build_row('V-27-slim').to('meta')
    found, cost = layers(model, 224), count_cost(model, (3, 224, 224))
    assert sum(layer.cost for layer in found) == cost.memory_access
    assert sum(layer.macs for layer in found) == cost.macs
    assert list(per_stage(found)) == [2, 4, 8, 16, 32]


@pytest.mark.parametrize('ours', ['V-27-slim', 'V-39+bottleneck'])
def test_verdicts_come_from_the_counts(ours, monkeypatch, tmp_path):
    """A bottleneck makes channels unequal."""
    rows = ('torchvision:densenet121', ours)
    pytest.importorskip('torchvision', reason='torchvision is not installed')
    monkeypatch.setattr(memory_access, 'ROWS', rows)
    monkeypatch.setattr(memory_access, 'OURS', ours)
    result = check('memory_access', tmp_path, size=64)
    assert result.findings[-1].holds == (ours == 'V-27-slim')
    assert {row['network'] for row in result.rows} == {
        'DenseNet-121',
        ours.replace('+', ', '),
    }
    assert len(result.details) > 120
    assert min(row['above'] for row in result.details) == 0
    *_, picture = result.write(tmp_path, 'memory_access', 'x')
    assert picture.stat().st_size > 10_000


def test_equal_networks_are_not_nearer_to_their_bound(monkeypatch, tmp_path):
    monkeypatch.setattr(memory_access, 'ROWS', ('mmvovnet:VoVNet', 'V-39'))
    monkeypatch.setattr(memory_access, 'OURS', 'V-39')
    monkeypatch.setattr(memory_access, 'label', str)
    result = check('memory_access', tmp_path, size=64)
    assert [finding.holds for finding in result.findings[:2]] == [False] * 2
