import subprocess
import sys

import pytest

from mmvovnet.models import VoVNet

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
@pytest.mark.parametrize('value', ['no', 1])
def test_flags_are_bools(flag, value):
    with pytest.raises(TypeError, match=f'{flag} must be True or False'):
        VoVNet(SMALL, out_indices=(1,), **{flag: value})


@pytest.mark.parametrize('flag', ['depthwise', 'identity'])
def test_flags_of_an_arch_are_bools(flag):
    with pytest.raises(TypeError, match=f"{flag} must be .* got 'no'"):
        VoVNet({**SMALL, flag: 'no'}, out_indices=(1,))


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
