import copy
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F

from mmvovnet.models.osa import OSAModule


def _unit(unit, x):
    return F.relu(
        unit.bn(F.conv2d(x, unit.conv.weight, padding=unit.conv.padding))
    )


def test_one_shot_aggregation():
    osa = OSAModule(8, 6, 8, num_layers=3, gate='eSE', identity=True).eval()
    x = torch.randn(2, 8, 5, 7)
    with torch.no_grad():
        outputs = [x]
        for layer in osa.layers:
            outputs.append(_unit(layer, outputs[-1]))
        expected = _unit(osa.aggregate, torch.cat(outputs, 1))
        expected = osa.gate(expected) + x
        torch.testing.assert_close(osa(x), expected)


def _concatenating(osa):
    osa = copy.deepcopy(osa)
    osa.adds_up = lambda x: False
    return osa


def _train(osa, x):
    out = osa(x.requires_grad_())
    wanted = [x, *osa.parameters()]
    return out, torch.autograd.grad(out.square().mean(), wanted)


VARIANTS = {
    'V1': {},
    'eSE, identity': dict(gate='eSE', identity=True),
    'GN': dict(norm_cfg=dict(type='GN', num_groups=4)),
    'no norm': dict(norm_cfg=None),
    'no activation': dict(act_cfg=None),
    'depthwise': dict(depthwise=True),
    'bottleneck': dict(bottleneck=True),
    'memory_efficient': dict(memory_efficient=True),
    'with_cp': dict(with_cp=True),
}


@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('kwargs', VARIANTS.values(), ids=VARIANTS)
def test_sum_equals_concatenation(kwargs, channels_last):
    torch.manual_seed(0)
    osa = OSAModule(8, 4, 8, num_layers=3, **kwargs).double()
    x = torch.randn(2, 8, 6, 5, dtype=torch.double)
    if channels_last:
        osa.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    with patch.object(torch, 'cat', side_effect=AssertionError):
        summed = _train(osa, x)
    torch.testing.assert_close(
        summed, _train(_concatenating(osa), x), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)]
)
def test_sum_rounds_as_its_precision_does(dtype, tolerance):
    torch.manual_seed(0)
    osa = OSAModule(64, 32, 64, num_layers=5)
    x = torch.randn(2, 64, 8, 8)
    with torch.autocast('cpu', torch.bfloat16, dtype == torch.bfloat16):
        out, grads = _train(osa, x)
        expected, expected_grads = _train(_concatenating(osa), x)
    assert out.dtype == dtype
    for a, b in zip([out, *grads], [expected, *expected_grads], strict=True):
        assert (a - b).abs().max() <= tolerance * b.abs().max()


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('path', ['aggregate', 'aggregate.conv'])
def test_hooks_see_the_concatenated_map(path, training):
    osa = OSAModule(8, 4, 8, num_layers=2).train(training)
    seen = []
    osa.get_submodule(path).register_forward_hook(
        lambda module, inputs, out: seen.append((inputs[0].shape, out.shape))
    )
    osa(torch.randn(2, 8, 4, 4))
    assert seen == [((2, 16, 4, 4), (2, 8, 4, 4))]


def test_weights_keep_their_names():
    osa = OSAModule(8, 4, 8, num_layers=2, norm_cfg=None)
    names = ['layers.0', 'layers.1', 'aggregate']
    assert list(osa.state_dict()) == [f'{n}.conv.weight' for n in names]
    assert osa.aggregate.conv.weight.shape == (8, 16, 1, 1)


def test_another_conv_is_given_one_map():
    osa = OSAModule(8, 4, 8, num_layers=2)
    osa.aggregate.conv = torch.nn.Conv2d(16, 8, 1)
    assert osa(torch.randn(2, 8, 4, 4)).shape == (2, 8, 4, 4)


def test_depthwise_concatenates_the_unreduced_input():
    osa = OSAModule(8, 6, 10, num_layers=2, depthwise=True).eval()
    assert osa.aggregate.in_channels == 8 + 2 * 6
    x = torch.randn(1, 8, 4, 4)
    with torch.no_grad():
        out = osa.reduction(x)
        outputs = [x]
        for layer in osa.layers:
            out = layer(out)
            outputs.append(out)
        expected = osa.aggregate(torch.cat(outputs, 1))
        torch.testing.assert_close(osa(x), expected)
    same = OSAModule(8, 8, 10, num_layers=2, depthwise=True)
    assert same.reduction is None


def test_bottleneck_has_half_the_channels():
    osa = OSAModule(10, 6, 12, num_layers=2, bottleneck=True)
    convs = [
        (m.in_channels, m.out_channels, m.kernel_size[0])
        for m in osa.modules()
        if isinstance(m, torch.nn.Conv2d)
    ]
    layers = [(10, 3, 1), (3, 6, 3), (6, 3, 1), (3, 6, 3)]
    assert convs == [*layers, (10 + 2 * 6, 12, 1)]
    assert osa(torch.randn(2, 10, 4, 4)).shape == (2, 12, 4, 4)


def test_drop_path_scales_what_it_keeps_once():
    torch.manual_seed(0)
    osa = OSAModule(8, 6, 8, 2, identity=True, drop_path=0.5).eval()
    x = torch.randn(64, 8, 2, 2)
    features = osa(x) - x
    osa.drop_path.train()
    change = osa(x) - x
    for sample, feature in zip(change, features, strict=True):
        kept = sample.any()
        torch.testing.assert_close(sample, 2 * feature * kept)


def test_drop_path_keeps_the_identity():
    torch.manual_seed(0)
    osa = OSAModule(8, 6, 8, 2, identity=True, drop_path=0.5)
    x = torch.randn(64, 8, 2, 2)
    kept = [torch.equal(a, b) for a, b in zip(osa(x), x, strict=True)]
    assert 10 < sum(kept) < 54
    assert not torch.equal(
        osa.eval()(x)[kept.index(True)], x[kept.index(True)]
    )
