import pytest
import torch

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
def test_flags_are_bools(flag):
    for value in ('no', 1):
        with pytest.raises(TypeError, match=f'{flag} must be True or False'):
            VoVNet(SMALL, out_indices=(1,), **{flag: value})


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('strides', 2),
        ('dilations', 2),
        ('drop_path_rate', '0.1'),
    ],
)
def test_options_of_another_type(option, value):
    with pytest.raises(ValueError, match=f'{option} must be .* got {value!r}'):
        VoVNet(SMALL, out_indices=(1,), **{option: value})


@pytest.mark.parametrize('flag', ['depthwise', 'identity'])
def test_flags_of_an_arch_are_bools(flag):
    with pytest.raises(TypeError, match=f"{flag} must be .* got 'no'"):
        VoVNet({**SMALL, flag: 'no'}, out_indices=(1,))


@pytest.mark.parametrize(
    ('way', 'options'),
    [
        ('dcn', dict(type='DCNv2', deform_groups=7)),
        ('conv_cfg', dict(type='DCNv2', deform_groups=0)),
        ('conv_cfg', dict(type='DCN', deform_groups=7)),
        ('dcn', dict(type='DCN', im2col_step=0)),
    ],
)
def test_groups_of_deformable_convs(way, options):
    pytest.importorskip('mmcv.ops')
    place = dict(stage_with_dcn=(False, True)) if way == 'dcn' else {}
    *_, (option, value) = options.items()
    with pytest.raises(ValueError, match=f'{option} of .*, got {value}'):
        VoVNet(SMALL, out_indices=(1,), **{way: options}, **place)


def test_deformable_convs_with_groups_run():
    pytest.importorskip('mmcv.ops')
    dcn = dict(type='DCNv2', deform_groups=4)
    model = VoVNet(
        SMALL, out_indices=(1,), dcn=dcn, stage_with_dcn=(False, True)
    ).eval()
    x = torch.rand(1, 3, 32, 32)
    assert model(x)[-1].equal(model(x)[-1])


@pytest.mark.parametrize(
    ('option', 'value'),
    [('bottleneck', True), ('dcn', dict(type='DCN', deform_groups=1))],
)
def test_depthwise_layers_are_not_replaced(option, value):
    with pytest.raises(ValueError, match=f'{option} replaces dense 3x3 convs'):
        VoVNet('V-19-dw-eSE', **{option: value})
