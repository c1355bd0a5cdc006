import pytest
import torch
from mmengine.registry import MODELS
from paper.networks import PeleeNet

from mmvovnet.analysis import count_cost


def test_published_counts():
    """Those of arXiv 1804.06882, with a classifier of 1000 classes."""
    cost = count_cost(PeleeNet(), (3, 224, 224))
    classifier = 704 * 1000
    assert round((cost.parameters + classifier + 1000) / 1e6, 1) == 2.8
    assert round((cost.macs + classifier) / 1e6) == 508


@pytest.mark.parametrize('size', [(64, 96), (75, 101)])
def test_maps(size):
    model = PeleeNet(out_indices=(1, 3)).eval()
    maps = model(torch.rand(2, 3, *size))
    assert [x.shape[:2] for x in maps] == [(2, 256), (2, 704)]
    height, width = (-(-side // 4) for side in size)
    assert maps[0].shape[2:] == (height // 2, width // 2)


def test_every_parameter_gets_a_gradient():
    model = PeleeNet()
    model.init_weights()
    sum(x.mean() for x in model(torch.rand(2, 3, 64, 64))).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_built_by_name_from_any_scope():
    model = MODELS.build(dict(type='mmvovnet.PeleeNet', out_indices=(3,)))
    assert isinstance(model, PeleeNet)
