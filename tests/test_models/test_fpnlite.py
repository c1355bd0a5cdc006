import pytest
import torch
from mmengine.registry import MODELS

from mmvovnet.models import FPNLite, VoVNet


def test_fits_every_odd_size():
    backbone = VoVNet('V-19-slim-dw-eSE').eval()
    neck = FPNLite(backbone.out_channels, num_outs=5).eval()
    maps = backbone(torch.rand(1, 3, 75, 101))
    levels = neck(maps)
    assert [x.shape[2:] for x in levels[:4]] == [x.shape[2:] for x in maps]
    assert {x.shape[1] for x in levels} == {128}
    assert len(levels) == neck.num_outs == 5
    assert neck.out_channels == 128


def test_a_coarse_map_reaches_finer_levels_only():
    neck = FPNLite([8, 8, 8], out_channels=8).eval()
    maps = [torch.rand(1, 8, size, size) for size in (16, 8, 4)]
    before = neck(maps)
    maps[1] = maps[1] + 1
    after = neck(maps)
    changed = [not a.equal(b) for a, b in zip(after, before, strict=True)]
    assert changed == [True, True, False]


def test_an_extra_level_has_every_other_value_of_the_last():
    neck = FPNLite([8], out_channels=8, num_outs=3).eval()
    last, *extra = neck([torch.rand(1, 8, 9, 6)])
    assert extra[0].equal(last[..., ::2, ::2])
    assert extra[1].equal(last[..., ::4, ::4])


def test_every_parameter_gets_a_gradient():
    neck = FPNLite([8, 16], num_outs=3)
    neck.init_weights()
    levels = neck([torch.rand(1, 8, 8, 8), torch.rand(1, 16, 4, 4)])
    sum(level.sum() for level in levels).backward()
    assert all(p.grad is not None for p in neck.parameters())


def test_built_by_name_from_any_scope():
    neck = MODELS.build(dict(type='mmvovnet.FPNLite', in_channels=[8]))
    assert isinstance(neck, FPNLite)


def test_fewer_levels_than_inputs():
    with pytest.raises(ValueError, match='num_outs=1 is less than the 2'):
        FPNLite([8, 16], num_outs=1)
