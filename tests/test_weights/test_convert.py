import re

import numpy as np
import pytest
import torch

from mmvovnet import VoVNet
from mmvovnet.models.archs import ARCHS
from mmvovnet.weights import CheckpointError, convert, load
from mmvovnet.weights.adapter import detect, summary
from mmvovnet.weights.convert import convert_file

from .peers import (
    RECORDED,
    TINY,
    assert_close,
    authors_forward,
    authors_shapes,
    fill,
    load_recorded,
)

TIMM = {
    'vovnet39a': dict(arch='V-39', identity=False),
    'vovnet57a': dict(arch='V-57', identity=False),
    'ese_vovnet19b_slim_dw': dict(arch='V-19-slim-dw-eSE'),
    'ese_vovnet19b_dw': dict(arch='V-19-dw-eSE'),
    'ese_vovnet19b_slim': dict(arch='V-19-slim-eSE'),
    'ese_vovnet39b': dict(arch='V-39-eSE', gate_place='last'),
    'ese_vovnet57b': dict(arch='V-57-eSE', gate_place='last'),
    'ese_vovnet99b': dict(arch='V-99-eSE', gate_place='last'),
    'eca_vovnet39b': dict(arch='V-39', gate='ECA', gate_place='last'),
}
SLOW = pytest.mark.slow
PREFIXES = [
    '',
    'module.',
    'backbone.body.',
    'module.backbone.body.',
    'backbone.bottom_up.',
    'img_backbone.',
    'backbone.',
    'model.',
    'some.encoder.',
]


def small(prefix='', tracked=True):
    shapes = authors_shapes(TINY, tracked)
    return {prefix + name: v for name, v in fill(shapes).items()}


def names_of(dialect, state):
    return convert(convert(state), to=dialect)


def assert_same(result, expected):
    assert list(result) == list(expected)
    for name, value in expected.items():
        assert torch.equal(result[name], value), name


# What the weights compute


@pytest.mark.parametrize('peer', RECORDED)
def test_recorded_outputs(peer):
    state, image, outputs = load_recorded(peer)
    stages = [outputs[f'stage{i}'] for i in range(2, 6)]
    arch = 'V-27-slim' if peer.startswith('seed') else peer.split('_')[1]
    model = VoVNet(arch).eval()
    model.load_state_dict(state)
    with torch.no_grad():
        features = model(image)
        assert_close(features, stages, 1e-5)
        stem = model.stem(image)
        assert_close([stem], [outputs['stem']], 1e-5)
        if 'logits' in outputs:
            head = (state['classifier.weight'], state['classifier.bias'])
            mean = features[-1].mean((2, 3))
            logits = torch.nn.functional.linear(mean, *head)
            assert_close([logits], [outputs['logits']], 1e-5)


@pytest.mark.parametrize(
    'arch',
    [
        pytest.param(arch, marks=SLOW)
        if ARCHS[arch]['num_modules'][2] > 2 or '39' in arch
        else arch
        for arch in ARCHS
    ],
)
def test_authors_networks(arch):
    state = fill(authors_shapes(arch, tracked=False))
    model = VoVNet(arch).eval()
    model.load_state_dict(state)
    image = torch.randn(1, 3, 75, 101)
    with torch.no_grad():
        assert_close(model(image), authors_forward(state, image), 1e-5)


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=SLOW)
        if re.search('57|99|ese_vovnet39b|slim$|39a', name)
        else name
        for name in TIMM
    ],
)
@pytest.mark.parametrize(
    'size',
    [
        (75, 101),
        pytest.param((64, 64), marks=SLOW),
        pytest.param((224, 224), marks=SLOW),
    ],
)
def test_timm_networks(name, size):
    timm = pytest.importorskip('timm')
    with torch.device('meta'):
        peer = timm.create_model(name)
    state = fill({k: tuple(v.shape) for k, v in peer.state_dict().items()})
    peer.load_state_dict(state, assign=True)
    model = VoVNet(**TIMM[name]).eval()
    model.load_state_dict(state)
    image = torch.randn(1, 3, *size)
    with torch.no_grad():
        x = peer.eval().stem(image)
        expected = []
        for stage in peer.stages:
            x = stage(x)
            expected.append(x)
        assert_close(model(image), expected, 1e-5)


# Names


@pytest.mark.parametrize(
    ('arch', 'tracked'),
    [('V-27-slim', True), ('V-99-eSE', False), ('V-19-dw-eSE', True)],
)
def test_authors_names_round_trip(arch, tracked):
    state = {
        k: torch.empty(s) for k, s in authors_shapes(arch, tracked).items()
    }
    ours = convert(state)
    with torch.device('meta'):
        expected = VoVNet(arch).state_dict()
    if tracked:
        assert ours.keys() == expected.keys()
    for name, value in ours.items():
        assert value.shape == expected[name].shape
    dialect = 'detectron2' if 'eSE' in arch else 'torchvision'
    theirs = convert(ours, to=dialect)
    assert list(theirs) == list(state)
    assert all(theirs[name] is state[name] for name in state)


@pytest.mark.parametrize(
    'name', ['vovnet57a', 'ese_vovnet19b_dw', 'eca_vovnet39b']
)
def test_timm_names_round_trip(name):
    timm = pytest.importorskip('timm')
    with torch.device('meta'):
        state = timm.create_model(name).state_dict()
        expected = VoVNet(**TIMM[name]).state_dict()
    ours = convert(state)
    head = {'head.fc.weight', 'head.fc.bias'}
    assert ours.keys() - head == {f'backbone.{k}' for k in expected}
    theirs = convert(ours, to='timm')
    assert list(theirs) == list(state)
    assert all(theirs[name] is state[name] for name in state)


@pytest.mark.parametrize('dialect', ['torchvision', 'timm', 'detectron2'])
@pytest.mark.parametrize('place', ['', 'backbone.'])
def test_ours_round_trip(dialect, place):
    arch = 'V-39-eSE' if dialect == 'detectron2' else 'V-39'
    with torch.device('meta'):
        state = VoVNet(arch).state_dict()
    state = {place + name: value for name, value in state.items()}
    if place:
        state['head.fc.weight'] = torch.empty(10, 1024, device='meta')
    if place and dialect == 'detectron2':
        del state['head.fc.weight']  # its detectors have none
    theirs = convert(state, to=dialect)
    assert theirs.keys() != state.keys()
    assert list(convert(theirs)) == list(state)


@pytest.mark.parametrize('prefix', PREFIXES)
def test_prefixes(prefix):
    state = small(prefix)
    model = VoVNet(TINY)
    assert not any(model.load_state_dict(state))
    assert_same(names_of('torchvision', model.state_dict()), small())


@pytest.mark.parametrize('wrapper', ['state_dict', 'model'])
def test_wrappers(wrapper):
    checkpoint = {wrapper: small('module.'), 'epoch': 3}
    assert_same(convert(checkpoint), convert(small()))


def test_bare_backbones_stay_bare_and_whole_models_whole():
    assert 'stem.0.conv.weight' in convert(small())
    head = {'classifier.weight': torch.zeros(10, 512)}
    ours = convert(small() | head)
    assert {'backbone.stem.0.conv.weight', 'head.fc.weight'} <= ours.keys()
    assert_same(convert(ours, to='torchvision'), small() | head)
    assert 'backbone.stem.0.conv.weight' in convert(small('backbone.body.'))
    assert 'img_backbone.stem.0.bn.bias' in convert(small('img_backbone.'))


@pytest.mark.parametrize('prefix', ['img_backbone.', 'student.encoder.'])
def test_of_other_models_everything_else_stays(prefix, messages):
    """PETR's names: neck and head are kept, whatever their kind."""
    rest = {
        'img_neck.lateral_convs.0.conv.weight': torch.rand(4, 4),
        'pts_bbox_head.reference_points.weight': torch.rand(4, 3),
        'pts_bbox_head.table_index': torch.arange(4),
        'pts_bbox_head.mask': torch.tensor([True]),
        'pts_bbox_head.transformer.decoder.layers.0.norms.0.bias': None,
    }
    ours = convert(small(prefix) | rest)
    assert f'{prefix}stages.0.blocks.0.aggregate.conv.weight' in ours
    assert not messages
    for name, value in rest.items():
        assert ours[name] is value
    theirs = convert(ours, to='mmdet3d')
    assert list(theirs) == list(small(prefix) | rest)


def test_values_of_any_float_kind():
    state = {
        name: value.half().numpy() if i % 2 else value.double()
        for i, (name, value) in enumerate(small(tracked=False).items())
    }
    model = VoVNet(TINY)
    model.load_state_dict(state)
    weight = model.stem[0].conv.weight
    expected = torch.as_tensor(state['stem.stem_1/conv.weight'])
    assert weight.dtype == torch.float32
    assert torch.equal(weight, expected.float())


# Refusals


@pytest.mark.parametrize('state', [{}, {'conv1.weight': torch.zeros(1)}])
def test_no_vovnet(state):
    with pytest.raises(CheckpointError, match='no VoVNet.*torchvision'):
        convert(state)


def test_a_prefix_ends_in_a_dot():
    """`mybackbone` + `.stem...` is one, `my_` + `stem...` is a name."""
    with pytest.raises(CheckpointError, match='no VoVNet'):
        convert({f'my_{name}': value for name, value in small().items()})
    assert detect(f'my.{name}' for name in small()).prefix == 'my.'


def test_unknown_dialect():
    with pytest.raises(ValueError, match="one of .*'timm'.* got 'caffe'"):
        convert(small(), to='caffe')


def test_inexpressible_part():
    state = VoVNet(TINY, gate='ECA').state_dict()
    with pytest.raises(CheckpointError, match=r'detectron2 has no .*gate'):
        convert(state, to='detectron2')
    assert 'stages.0.blocks.0.attn.conv.weight' in convert(state, to='timm')


def test_left_out_parts_are_named(messages):
    state = small() | {'aux.weight': torch.zeros(1)}
    assert 'aux.weight' not in convert(state)
    assert any('aux.weight' in message for _, message in messages)


@pytest.mark.parametrize(
    'value',
    [
        torch.zeros(64, dtype=torch.int8),
        np.array(['weights'] * 64),
        np.zeros(64, dtype=np.int64),
        [0.0] * 64,
        None,
    ],
)
def test_no_weights(value):
    state = small() | {'stem.stem_1/norm.bias': value}
    with pytest.raises(CheckpointError, match='stem_1/norm.bias.*floating'):
        convert(state)
    with pytest.raises(CheckpointError, match='stem_1/norm.bias.*floating'):
        VoVNet(TINY).load_state_dict(state)


def test_more_than_four_names_of_a_part_are_counted():
    names = [f'stem.0.{name}' for name in 'abcd']
    assert summary(names) == ', '.join(names)
    assert summary([*names, 'stem.0.e', 'fc']) == 'fc, stem.0.* (5 names)'


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ('nan', 'NaN or infinite weights'),
        ('missing', 'missing, unknown or of another shape'),
        ('transposed', 'missing, unknown or of another shape'),
    ],
)
def test_nothing_broken_is_converted(change, said, tmp_path):
    state = VoVNet(TINY).state_dict()
    name = 'stages.1.blocks.0.layers.1.conv.weight'
    if change == 'nan':
        state[name][0] = torch.nan
    elif change == 'missing':
        del state[name]
    else:
        state[name] = state[name].transpose(0, 2)
    source, target = tmp_path / 'source.pth', tmp_path / 'target.pth'
    torch.save(state, source)
    with pytest.raises(CheckpointError, match=said):
        convert_file(source, target, to='timm')
    assert not target.exists()


@pytest.mark.parametrize(
    'options',
    [
        dict(arch='V-19-slim-dw-eSE'),
        dict(arch='V-27-slim', out_indices=(1,)),
        dict(arch='V-27-slim', gate='ECA', in_channels=1),
        dict(arch='V-27-slim', norm_cfg=dict(type='GN', num_groups=2)),
        dict(arch='V-27-slim', bottleneck=True),
    ],
)
def test_whole_networks_are_converted(options, tmp_path):
    source, target = tmp_path / 'source.pth', tmp_path / 'target.pth'
    torch.save(VoVNet(**options).state_dict(), source)
    assert convert_file(source, target) == [target]
    assert load(target).keys() == load(source).keys()
