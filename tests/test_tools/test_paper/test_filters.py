import numpy as np
import pytest
import torch
from paper.filters import filter_norms, load_weights
from paper.networks.cifarnet import CifarNet

from mmvovnet import VoVNet
from mmvovnet.weights import convert


def classifier(*args):
    """The weights of a CifarNet with its classifier."""
    model = CifarNet(*args)
    state = {f'backbone.{k}': v for k, v in model.state_dict().items()}
    return state | {'head.fc.weight': torch.ones(10, *model.out_channels)}


def test_a_dense_block_by_hand():
    state = classifier('dense', 2, 3)
    # The input of the last block has 16 + 2 * 6 channels.
    state['backbone.stages.2.0.layers.1.conv.weight'] = torch.cat(
        [-torch.ones(3, 28, 3, 3), 2 * torch.ones(3, 3, 3, 3)], 1
    )
    norms = filter_norms(state)
    assert list(norms) == [f'backbone.stages.{i}.0' for i in range(3)]
    last = norms['backbone.stages.2.0']
    assert last[:2, 1].tolist() == [9, 18]
    assert last[:, 2].tolist() == [1, 1, 1]
    assert np.isnan(last[2, 1]) and np.isnan(last[1:, 0]).all()


def test_a_module_reads_one_layer_before_and_aggregates_all():
    norms = filter_norms(classifier('osa', 3, 4))
    assert len(norms) == 3
    for block in norms.values():
        read = ~np.isnan(block)
        assert (read[:, :-1] == np.eye(4, dtype=bool)[:, :-1]).all()
        assert read[:, -1].all()


@pytest.mark.parametrize(
    ('arch', 'options'),
    [
        ('V-19-slim-dw-eSE', {}),
        ('V-27-slim', dict(bottleneck=True)),
        ('V-39', {}),
    ],
)
def test_any_vovnet(arch, options, tmp_path):
    model = VoVNet(arch, **options)
    module = model.stages[1].blocks[0]
    width = model.arch['conv_channels'][1]
    with torch.no_grad():
        module.aggregate.conv.weight[:, -width:] = 3
    path = tmp_path / 'weights.pth'
    state = model.state_dict()
    if arch == 'V-39':
        state = convert(state, to='torchvision')
    torch.save({'state_dict': state}, path)
    norms = filter_norms(load_weights(path))
    assert len(norms) == sum(model.arch['num_modules'])
    block = norms['stages.1.blocks.0']
    assert block.shape == (model.arch['num_layers'] + 1,) * 2
    assert block[-1, -1] == 3


def test_nothing_to_draw():
    with pytest.raises(ValueError, match='no dense block'):
        filter_norms({'fc.weight': torch.ones(1, 1)})
