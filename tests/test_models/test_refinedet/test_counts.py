"""The published cost of RefineDet (arXiv 1904.09730, Table 4)."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmvovnet.analysis import count_cost
from tests.test_deploy.small import CONFIGS


def cost(name, size):
    """Parameters, multiply-accumulates, and values that norms put out."""
    cfg = Config.fromfile(CONFIGS / name)
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
    normed = 0

    def count(module, inputs, out):
        nonlocal normed
        normed += out.numel()

    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(count)
    counted = count_cost(model, (3, size, size))
    return counted.parameters, counted.macs, normed


@pytest.mark.parametrize(
    ('name', 'size', 'millions', 'gmacs'),
    [
        ('refinedet/refinedet320_vovnet39_400k_coco.py', 320, 56.28, 32.63),
        ('refinedet/refinedet320_vovnet57_400k_coco.py', 320, 70.32, 36.42),
        ('refinedet/refinedet512_vovnet39_400k_coco.py', 512, 56.28, 83.52),
        ('refinedet/refinedet512_vovnet57_400k_coco.py', 512, 70.32, 93.23),
    ],
)
def test_vovnet(name, size, millions, gmacs):
    parameters, macs, _ = cost(name, size)
    assert round(parameters / 1e6, 2) == millions
    assert round(macs / 1e9, 2) == gmacs


@pytest.mark.parametrize(
    ('name', 'millions', 'gflops'),
    [
        ('refinedet/refinedet320_r50-caffe_400k_coco.py', 63.46, 25.43),
        ('refinedet/refinedet320_r101-caffe_400k_coco.py', 82.45, 33.02),
        ('refinedet/refinedet320_vovnet57_400k_coco.py', 70.32, 36.45),
    ],
)
def test_published_flops_count_the_norms_too(name, millions, gflops):
    parameters, macs, normed = cost(name, 320)
    assert round(parameters / 1e6, 2) == millions
    assert round((macs + normed) / 1e9, 2) == gflops
