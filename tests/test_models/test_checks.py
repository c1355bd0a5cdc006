import subprocess
import sys
import time

import pytest

from mmvovnet.models import VoVNet
from mmvovnet.models.checks import MAX_WEIGHTS, check_size

SMALL = dict(
    stem_channels=(8, 8, 8),
    conv_channels=(8, 8),
    out_channels=(16, 16),
    num_modules=(1, 2),
    num_layers=2,
)


@pytest.mark.parametrize(
    'flag',
    ['identity', 'bottleneck', 'norm_eval', 'with_cp', 'memory_efficient'],
)
@pytest.mark.parametrize('value', ['no', 'False', 0, 1, []])
def test_flags_are_bools(flag, value):
    with pytest.raises(TypeError, match=f'{flag} must be True or False'):
        VoVNet(SMALL, out_indices=(1,), **{flag: value})


@pytest.mark.parametrize('flag', ['depthwise', 'identity'])
def test_flags_of_an_arch_are_bools(flag):
    with pytest.raises(TypeError, match=f"{flag} must be .* got 'no'"):
        VoVNet({**SMALL, flag: 'no'}, out_indices=(1,))


@pytest.mark.parametrize(
    'field, value',
    [
        ('num_layers', 10**9),
        ('num_layers', 10**5),
        ('num_modules', (1, 10**9)),
        ('conv_channels', (8, 10**9)),
        ('out_channels', (10**6, 10**6)),
        ('stem_channels', (8, 10**5, 10**5)),
    ],
)
def test_networks_that_no_machine_holds(field, value):
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r'weights, and no network of more'):
        VoVNet({**SMALL, field: value}, out_indices=(1,))
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize('channels', [0, -3, 'three', 3.0, 10**9])
def test_image_channels(channels):
    with pytest.raises(ValueError, match='in_channels'):
        VoVNet(SMALL, channels, out_indices=(1,))


@pytest.mark.parametrize('arch', ['V-27-slim', 'V-99'])
def test_the_count_is_that_of_the_convs(arch, monkeypatch):
    """So that the bound means what it says, to 1%."""
    model = VoVNet(arch)
    weights = sum(
        p.numel() for n, p in model.named_parameters() if p.dim() == 4
    )
    monkeypatch.setattr('mmvovnet.models.checks.MAX_WEIGHTS', weights * 1.01)
    check_size(model.arch, 3)
    monkeypatch.setattr('mmvovnet.models.checks.MAX_WEIGHTS', weights * 0.99)
    with pytest.raises(ValueError, match='weights'):
        check_size(model.arch, 3)
    assert 20 * weights < MAX_WEIGHTS


@pytest.mark.parametrize('way', ['dcn', 'conv_cfg'])
@pytest.mark.parametrize(
    'options',
    [
        dict(type='DCNv2', deform_groups=7),
        dict(type='DCNv2', deform_groups=0),
        dict(type='DCN', deform_groups=7),
        dict(type='DCN', im2col_step=0),
    ],
)
def test_groups_of_deformable_convs(way, options):
    pytest.importorskip('mmcv.ops')
    place = dict(stage_with_dcn=(False, True)) if way == 'dcn' else {}
    *_, (option, value) = options.items()
    with pytest.raises(ValueError, match=f'{option}={value}'):
        VoVNet(SMALL, out_indices=(1,), **{way: options}, **place)


def test_deformable_convs_with_groups_run():
    """In a process of its own: an op out of its memory ends it."""
    pytest.importorskip('mmcv.ops')
    code = (
        'import torch; from mmvovnet import VoVNet; '
        "m = VoVNet('V-27-slim', dcn=dict(type='DCNv2', deform_groups=4)); "
        'x = torch.rand(1, 3, 64, 64); a, b = m.eval()(x)[-1], m(x)[-1]; '
        'assert a.equal(b)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True)
    assert not done.returncode, done.stderr


@pytest.mark.parametrize(
    ('option', 'value'),
    [('bottleneck', True), ('dcn', dict(type='DCN', deform_groups=1))],
)
def test_depthwise_layers_are_not_replaced(option, value):
    with pytest.raises(ValueError, match=f'{option} replaces dense 3x3 convs'):
        VoVNet('V-19-dw-eSE', **{option: value})
