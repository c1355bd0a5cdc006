import pytest
import torch
from mmengine.registry import MODELS
from paper.networks.cifarnet import CifarNet, DenseBlock
from torch import nn

from mmvovnet.analysis import count_cost


def build(*args):
    with torch.device('meta'):
        return CifarNet(*args)


@pytest.mark.parametrize(
    ('args', 'channels', 'parameters', 'weights', 'cost'),
    [
        (('dense', 12, 12), 448, 1_019_722, 996_704, 3_659_616),
        (('osa', 12, 20), 736, 1_122_506, 1_110_288, 2_714_640),
        (('osa', 5, 43), 661, 1_168_099, 1_157_081, 2_567_321),
    ],
)
def test_counts(args, channels, parameters, weights, cost):
    """DenseNet-40 has the 1.0 M parameters and Eq. 1's 3.7 M published."""
    model = build(*args)
    assert model.out_channels == (channels,)
    classifier = 10 * (channels + 1)
    count = sum(p.numel() for p in model.parameters()) + classifier
    assert count == parameters
    convs = [m for m in model.stages.modules() if isinstance(m, nn.Conv2d)]
    assert sum(conv.weight.numel() for conv in convs) == weights
    assert count_cost(model.stages, (16, 32, 32)).memory_access == cost


@pytest.mark.parametrize('block', ['dense', 'osa'])
def test_strides_and_gradients(block):
    model = CifarNet(block, 2, 4, in_channels=1)
    shapes = []
    for stage in model.stages:
        stage.register_forward_hook(
            lambda *args: shapes.append(args[-1].shape[-1])
        )
    (out,) = model(torch.rand(2, 1, 16, 16))
    assert shapes == [8, 4, 4]
    assert out.shape == (2, 16 + 3 * 2 * 4, 4, 4)
    out.square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_a_dense_layer_reads_all_before_it():
    block = DenseBlock(4, 2, 3)
    assert [layer.conv.in_channels for layer in block.layers] == [4, 6, 8]
    x = torch.rand(1, 4, 3, 3)
    assert block(x)[:, :4].equal(x)


def test_registered_and_checked():
    model = MODELS.build(
        dict(type='mmvovnet.CifarNet', block='osa', num_layers=1, width=2)
    )
    assert isinstance(model, CifarNet)
    with pytest.raises(ValueError, match="'dense' or 'osa', got 'res'"):
        CifarNet('res', 1, 2)
