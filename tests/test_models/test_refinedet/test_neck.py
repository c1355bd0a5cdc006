import pytest
import torch
from torch import nn

from mmvovnet import VoVNet
from mmvovnet.models.refinedet import RefineDetVGG, TransferConnectionNeck


def maps_of(channels, size=16):
    return [
        torch.rand(1, c, size >> i, size >> i) for i, c in enumerate(channels)
    ]


@pytest.mark.parametrize('residual', [True, False])
def test_shapes_and_parts(residual):
    options = {} if residual else dict(norm_cfg=None, l2_scales=(10, 8))
    neck = TransferConnectionNeck([8, 8, 8], 16, 32, residual, **options)
    pairs = neck(maps_of([8, 8, 8]))
    sizes = [(16, 16), (8, 8), (4, 4), (2, 2)]
    assert [s.shape[1:] for s, _ in pairs] == [
        (c, *size) for c, size in zip((8, 8, 8, 32), sizes, strict=True)
    ]
    assert [t.shape[1:] for _, t in pairs] == [(16, *s) for s in sizes]
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in neck.modules())
    # three convs of each connection, three transposed ones, four in the block
    assert norms == (4 * 3 + 3 + 4 if residual else 0)


def test_l2_norms():
    neck = TransferConnectionNeck([8, 8, 8], 16, 32, l2_scales=(10, 8))
    maps = maps_of([8, 8, 8])
    sources = [source for source, _ in neck(maps)]
    for source, scale in zip(sources, (10, 8), strict=False):
        norm = source.norm(dim=1)
        torch.testing.assert_close(norm, torch.full_like(norm, scale))
    assert sources[2] is maps[2]


def test_a_coarse_map_reaches_finer_levels_only():
    neck = TransferConnectionNeck([8, 8], 8, 16).eval()
    maps = maps_of([8, 8])
    before = neck(maps)
    maps[0] = maps[0] + 1
    after = neck(maps)
    changed = [
        not a.equal(b) for (_, a), (_, b) in zip(after, before, strict=True)
    ]
    assert changed == [True, False, False]


def test_relu_comes_after_the_sum():
    neck = TransferConnectionNeck([8], 8, 16).eval()
    neck.outputs = nn.ModuleList(nn.Identity() for _ in neck.outputs)
    maps = maps_of([8])
    (source, fine), (extra, coarse) = neck(maps)
    torch.testing.assert_close(coarse, neck.laterals[1](extra).relu())
    merged = neck.laterals[0](source) + neck.upsamples[0](coarse)
    assert merged.min() < 0
    torch.testing.assert_close(fine, merged.relu())


@pytest.mark.parametrize('size', [(75, 101), (64, 96), (129, 65)])
def test_fits_every_odd_size(size):
    backbone = VoVNet('V-19-slim-dw-eSE', out_indices=(1, 2, 3)).eval()
    neck = TransferConnectionNeck(backbone.out_channels, 8, 16).eval()
    maps = backbone(torch.rand(1, 3, *size))
    pairs = neck(maps)
    assert [s.shape for s, _ in pairs[:3]] == [x.shape for x in maps]
    assert all(s.shape[2:] == t.shape[2:] for s, t in pairs)


def test_every_parameter_gets_a_gradient():
    neck = TransferConnectionNeck([8, 8], 8, 16, l2_scales=(10,))
    neck.init_weights()
    pairs = neck([x.requires_grad_() for x in maps_of([8, 8])])
    sum(t.square().sum() for _, t in pairs).backward()
    assert all(p.grad is not None for p in neck.parameters())


def test_the_sources_are_before_the_pool_of_the_next_stage():
    """At strides 8, 16 and 32 in Caffe's dialect of VoVNet."""
    options = dict(stem_strides=(2, 1, 1), identity=False)
    backbone = VoVNet('V-27-slim', out_indices=(1, 2, 3), **options).eval()
    assert backbone.out_strides == (8, 16, 32)
    x = torch.rand(1, 3, 64, 64)
    assert [m.size(2) for m in backbone(x)] == [8, 4, 2]


def test_vgg_reads_fc7_at_stride_32():
    model = RefineDetVGG()
    fc6 = model.features[32]
    assert (fc6.kernel_size, fc6.dilation) == ((3, 3), (3, 3))
    strides = [m.stride for m in model.features if isinstance(m, nn.MaxPool2d)]
    assert strides == [2] * 5
