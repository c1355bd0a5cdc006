import pytest
import torch
from paper import weights
from paper.networks.cifarnet import CifarNet
from paper.training import Run

from mmvovnet import VoVNet


def classifier(*args):
    """The weights of a CifarNet with its classifier."""
    model = CifarNet(*args)
    state = {f'backbone.{k}': v for k, v in model.state_dict().items()}
    return state | {'head.fc.weight': torch.ones(10, *model.out_channels)}


@pytest.mark.parametrize('arch', ['V-19-slim-dw-eSE', 'V-27-slim'])
def test_any_checkpoint(arch, tmp_path):
    model = VoVNet(arch)
    path = tmp_path / 'weights.pth'
    torch.save({'state_dict': model.state_dict()}, path)
    result = weights.check(tmp_path, checkpoint=str(path))
    assert result.rows[0]['block'] == 'stages.0.blocks.0'
    assert len(result.rows) == sum(model.arch['num_modules'])
    paths = result.write(tmp_path, 'weights', 'x')
    assert all(path.stat().st_size for path in paths)


@pytest.mark.parametrize(('factor', 'learnt'), [(0.9, False), (0.1, True)])
def test_trained_networks(monkeypatch, tmp_path, factor, learnt):
    """Verdicts are given where training changed the weights enough."""
    runs = {}
    for name, (_, args, *_) in weights.NETWORKS.items():
        paths = [tmp_path / f'{name}-{i}.pth' for i in range(2)]
        state = classifier(*args)
        torch.save({'state_dict': state}, paths[0])
        state = {key: factor * value for key, value in state.items()}
        torch.save({'state_dict': state}, paths[1])
        runs[name] = [Run(1.0, [1.0], *paths)] * 2
    asked = []
    monkeypatch.setattr(
        weights, 'trained', lambda *args: asked.append(args) or runs
    )
    result = weights.check(tmp_path, seeds=2)
    assert asked == [(tmp_path, 'digits', 2, None)]
    assert [row['block'] for row in result.rows][:9:3] == [
        'DenseNet-40, dense block 1',
        'OSA 12x20, module 1',
        'OSA 5x43, module 1',
    ]
    # A classifier of ones reads all of its sources alike.
    assert result.rows[2]['12'] == result.rows[11]['12'] == '1.00'
    assert result.findings[1].holds is (False if learnt else None)
    if learnt:
        paths = result.write(tmp_path, 'weights', 'x')
        assert all(path.stat().st_size for path in paths)
