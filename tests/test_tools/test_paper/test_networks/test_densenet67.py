import pytest
import torch
from mmengine.registry import MODELS
from paper.networks import DSODDenseNet
from torch import nn

from mmvovnet.analysis import count_cost

# The maps that DSOD300 predicts from: width that is learned, size, and boxes
# per position. Half of a map's channels comes from the map before.
LEVELS = ((256, 10, 6), (128, 5, 6), (128, 3, 4), (128, 1, 4))
CLASSES = 21


class _DSOD300:
    """Counts of the detector, whose layers past the backbone are listed."""

    def __init__(self, model):
        cost = count_cost(model, (3, 300, 300))
        norms = [x for x in model.modules() if isinstance(x, nn.BatchNorm2d)]
        self.macs = cost.macs
        self.values = cost.parameters
        self.values += sum(2 * norm.num_features for norm in norms)

        (first,) = (
            x.shape[1]
            for x in model.eval()(torch.rand(1, 3, 64, 64))
            if x.shape[2] == 8
        )
        self.conv(first, 256, 1, 19)
        heads = [(first, 38, 4), (512, 19, 6)]
        channels, before = 512, 19
        for width, size, boxes in LEVELS:
            self.conv(channels, width, 1, before)
            self.conv(width, width, 3, size)
            self.conv(channels, width, 1, size)
            channels, before = 2 * width, size
            heads.append((channels, size, boxes))
        for channels, size, boxes in heads:
            outputs = boxes * (4 + CLASSES)
            self.conv(channels, outputs, 3, size, norm=outputs)
            self.values += outputs + channels  # bias, and scale of L2 norm

    def conv(self, channels, outputs, kernel, size, norm=None):
        weight = channels * outputs * kernel**2
        self.macs += weight * size**2
        # A norm has a scale, an offset and two running statistics.
        self.values += weight + 4 * (norm or channels)


@pytest.mark.parametrize(
    ('growth_rate', 'bottleneck', 'file_mb', 'gmacs'),
    [
        (16, 64, 23.5, 5.3),  # DS/64-64-16-1, 5.9 M
        (48, 192, 59.2, None),  # DS/64-192-48-1, 14.8 M
    ],
)
def test_published_counts(growth_rate, bottleneck, file_mb, gmacs):
    """The sizes of DSOD's weight files, and Table 2 of arXiv 1904.09730."""
    detector = _DSOD300(DSODDenseNet(growth_rate, bottleneck))
    assert round(4 * detector.values / 1e6, 1) == file_mb
    if gmacs:
        assert round(detector.macs / 1e9, 1) == gmacs


def test_67_convs():
    convs = [x for x in DSODDenseNet().modules() if isinstance(x, nn.Conv2d)]
    assert len(convs) == 67


@pytest.mark.parametrize(
    ('size', 'shapes'),
    [
        (300, [(75, 75), (38, 38), (19, 19)]),
        (66, [(17, 17), (9, 9), (5, 5)]),
    ],
)
def test_sizes_are_rounded_up(size, shapes):
    model = DSODDenseNet(4, 8).eval()
    assert [x.shape[2:] for x in model(torch.rand(1, 3, size, size))] == shapes


def test_a_dense_layer_keeps_its_input():
    model = DSODDenseNet(4, 8).eval()
    layer = model.stages[0][1]
    x = torch.rand(1, 128, 4, 4)
    out = layer(x)
    assert out.shape[1] == 128 + 4
    assert out[:, :128].equal(x)


def test_every_parameter_gets_a_gradient():
    model = DSODDenseNet(4, 8)
    model.init_weights()
    sum(x.mean() for x in model(torch.rand(2, 3, 64, 64))).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_built_by_name_from_any_scope():
    model = MODELS.build(dict(type='mmvovnet.DSODDenseNet', out_indices=(2,)))
    assert len(model(torch.rand(2, 3, 64, 64))) == 1
