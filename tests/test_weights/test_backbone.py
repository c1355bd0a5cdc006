import copy
import pickle

import numpy as np
import pytest
import torch
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

import mmvovnet.engine  # noqa: F401, load_checkpoint
from mmvovnet import VoVNet
from mmvovnet.engine.schemes import to_openmmlab
from mmvovnet.weights import CheckpointError, convert

from .peers import TINY, authors_shapes, fill

ARCH = TINY
OURS = convert(fill(authors_shapes(ARCH)))
THEIRS = fill(authors_shapes(ARCH))


class Wrapped(nn.Module):
    """A model that holds a backbone under the usual name."""

    def __init__(self, name='backbone', **options):
        super().__init__()
        setattr(self, name, VoVNet(**{'arch': ARCH} | options))
        self.neck = nn.Linear(2, 2)


def prefixed(prefix, state=THEIRS):
    return {prefix + name: value for name, value in state.items()}


def save(state, tmp_path):
    path = tmp_path / 'checkpoint.pth'
    torch.save(state, path)
    return str(path)


def assert_loaded(backbone):
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, OURS[name]), name


def meta(arch, **options):
    with torch.device('meta'):
        return VoVNet(arch, **options).state_dict()


# Every way in


@pytest.mark.parametrize(
    ('state', 'place', 'prefix'),
    [
        (OURS, '', 'backbone.'),
        (OURS, 'module.backbone.', None),
        (OURS, 'backbone.', 'backbone.'),
        (THEIRS, '', None),
        (THEIRS, '', 'backbone.'),
        (THEIRS, '', 'backbone'),
        (THEIRS, 'module.backbone.', 'backbone.'),
        (THEIRS, 'backbone.body.', None),
        (THEIRS, 'backbone.bottom_up.', 'backbone.bottom_up.'),
        (THEIRS, 'backbone.bottom_up.', 'backbone.'),
        (THEIRS, 'img_backbone.', 'img_backbone.'),
        (THEIRS, 'model.', None),
    ],
)
def test_init_cfg(place, prefix, state, tmp_path):
    path = save({'state_dict': prefixed(place, state)}, tmp_path)
    init_cfg = dict(type='Pretrained', checkpoint=path)
    if prefix is not None:
        init_cfg['prefix'] = prefix
    model = VoVNet(ARCH, init_cfg=init_cfg)
    model.init_weights()
    assert_loaded(model)


@pytest.mark.parametrize(
    'place', ['', 'model.', 'module.backbone.body.', 'backbone.bottom_up.']
)
def test_whole_model(place, tmp_path):
    model = Wrapped()
    load_checkpoint(model, save(prefixed(place), tmp_path))
    assert_loaded(model.backbone)


def test_meta_is_kept():
    meta = dict(epoch=3, dataset_meta=dict(classes=('cell',)))
    checkpoint = dict(state_dict=prefixed('module.'), meta=meta)
    assert to_openmmlab(checkpoint)['meta'] == meta
    assert to_openmmlab(prefixed('module.'))['meta'] == {}


@pytest.mark.parametrize(
    ('state', 'wrapper'),
    [
        (OURS, 'module._orig_mod.{}_orig_mod.'),
        (THEIRS, '{}'),
        (THEIRS, '_orig_mod.{}'),
        (THEIRS, 'module.{}_orig_mod.'),
    ],
    ids=['all', 'none', 'compiled', 'both'],
)
def test_wrappers_in_every_way_of_loading(state, wrapper, tmp_path):
    """detectron2 keeps weights as 'model'; compile and DDP add to names."""
    weights = prefixed(wrapper.format('backbone.'), state)
    wrapped_neck = wrapper.format('neck.')
    weights |= prefixed(wrapped_neck, nn.Linear(2, 2).state_dict())
    path = save({'model': weights, 'iteration': 1}, tmp_path)
    model = Wrapped()
    load_checkpoint(model, path, strict=True)
    assert_loaded(model.backbone)
    started = VoVNet(ARCH, init_cfg=dict(type='Pretrained', checkpoint=path))
    started.init_weights()
    assert_loaded(started)
    assert_loaded(VoVNet.from_pretrained(path))
    converted = convert(torch.load(path))
    model.load_state_dict(converted)


def test_numpy_arrays_in_a_file(tmp_path):
    arrays = {k: v.numpy() for k, v in prefixed('backbone.bottom_up.').items()}
    model = Wrapped()
    load_checkpoint(model, save({'model': arrays}, tmp_path))
    assert_loaded(model.backbone)


def test_other_name_of_the_backbone(tmp_path):
    neck = {'neck.weight': torch.ones(2, 2), 'neck.bias': torch.ones(2)}
    path = save(prefixed('img_backbone.') | neck, tmp_path)
    model = Wrapped('img_backbone')
    load_checkpoint(model, path, strict=True)
    assert_loaded(model.img_backbone)
    assert model.neck.bias.tolist() == [1, 1]


def test_load_state_dict_within_a_model():
    model = Wrapped()
    state = prefixed('backbone.') | prefixed('neck.', model.neck.state_dict())
    model.load_state_dict(state)
    assert_loaded(model.backbone)
    assert 'backbone.stem.stem_1/conv.weight' in state  # the caller's own


def test_whole_model_of_ours_into_a_backbone(messages):
    model = VoVNet(ARCH)
    model.load_state_dict(
        prefixed('backbone.', OURS) | {'neck.weight': torch.ones(2)}
    )
    assert_loaded(model)
    assert any('neck.weight' in text for _, text in messages)


# What is left alone


def test_our_checkpoints_pass_untouched(tmp_path):
    checkpoint = {
        'meta': {'epoch': 3},
        'state_dict': prefixed('backbone.', OURS),
        'optimizer': {'state': {}, 'param_groups': []},
        'message_hub': {},
    }
    assert to_openmmlab(checkpoint) is checkpoint
    path = save(checkpoint, tmp_path)
    loaded = CheckpointLoader.load_checkpoint(path, 'cpu')
    assert loaded.keys() == checkpoint.keys()
    assert list(loaded['state_dict']) == list(checkpoint['state_dict'])


@pytest.mark.parametrize(
    'checkpoint',
    [{}, {'state_dict': {'conv1.weight': torch.ones(1)}}],
)
def test_other_checkpoints_pass_untouched(checkpoint):
    assert to_openmmlab(checkpoint) is checkpoint


def test_teacher_and_student():
    state = prefixed('teacher.backbone.', OURS)
    state |= prefixed('student.backbone.', OURS)
    assert to_openmmlab(state) is state
    with pytest.raises(CheckpointError, match='2 VoVNets.*student.*prefix='):
        VoVNet(ARCH).load_state_dict(state)
    model = nn.ModuleDict({'teacher': Wrapped(), 'student': Wrapped()})
    model.load_state_dict(state, strict=False)
    assert_loaded(model['student'].backbone)


@pytest.mark.parametrize('part', ['stages.0', ('stem', 'stages.0'), 'st'])
def test_a_part_of_our_weights(part):
    model = VoVNet(ARCH)
    state = {
        name: value
        for name, value in OURS.items()
        if name.startswith(part) and not name.endswith('3.bn.bias')
    }
    keys = model.load_state_dict(state, strict=False)
    assert 'stages.0.blocks.0.layers.3.bn.bias' in keys.missing_keys
    for name, value in state.items():
        assert torch.equal(model.state_dict()[name], value)
    with pytest.raises(RuntimeError, match='Missing key'):
        model.load_state_dict(state)


@pytest.mark.parametrize(
    'copied',
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=['deepcopy', 'pickle'],
)
def test_a_copy_loads_into_itself(copied):
    model = VoVNet(ARCH)
    twin = copied(model)
    twin.load_state_dict(THEIRS)
    assert_loaded(twin)
    assert not torch.equal(model.stem[0].conv.weight, twin.stem[0].conv.weight)
    assert twin.pixels and not model.pixels


def test_unbuilt_stages_are_left_out(messages):
    model = VoVNet(ARCH, out_indices=(0, 1))
    model.load_state_dict(THEIRS)
    assert_loaded(model)
    assert any('stages.3.*' in text for _, text in messages)


def test_deformable_convs_start_at_zero():
    pytest.importorskip('mmcv.ops')
    model = VoVNet(ARCH, dcn=dict(type='DCNv2'))
    model.load_state_dict(THEIRS, strict=False)
    layer = model.stages[1].blocks[0].layers[0].conv
    assert torch.equal(
        layer.weight, OURS['stages.1.blocks.0.layers.0.conv.weight']
    )
    assert not layer.conv_offset.weight.any()


# Another network


@pytest.mark.parametrize(
    ('source', 'target', 'said'),
    [
        (('V-57',), ('V-39',), "V-57, .* is VoVNet V-39: set arch='V-57' in"),
        (('V-39',), ('V-39-eSE',), "set arch='V-39' in"),
        (('V-39-eSE',), ('V-39',), "set arch='V-39-eSE' in"),
        (('V-19-eSE',), ('V-19-dw-eSE',), "set arch='V-19-eSE' in"),
        (('V-19-slim-eSE',), ('V-27-slim',), "set arch='V-19-slim-eSE' in"),
        (
            ('V-39-eSE', dict(gate_place='last')),
            ('V-39-eSE',),
            r"gate \(eSE\) in the last .* every module: set gate_place='last'",
        ),
        (
            ('V-39-eSE',),
            ('V-39-eSE', dict(gate_place='last')),
            "set gate_place='every' in",
        ),
        (
            ('V-57-eSE', dict(gate_place='last')),
            ('V-39-eSE',),
            "set arch='V-57-eSE', gate_place='last' in",
        ),
        (
            ('V-39', dict(gate='ECA', gate_place='last')),
            ('V-39',),
            "set gate='ECA', gate_place='last' in",
        ),
        (('V-39', dict(gate='SE')), ('V-39-eSE',), "set .*gate='SE' in"),
        (('V-39', dict(bottleneck=True)), ('V-39',), 'set bottleneck=True in'),
        (
            ('V-57',),
            ('V-57-eSE', dict(out_indices=(2,))),
            "set arch='V-57' in",
        ),
        (
            ('V-39', dict(norm_cfg=dict(type='GN', num_groups=16))),
            ('V-39',),
            r"set norm_cfg=dict\(type='GN'",
        ),
        (
            ('V-39',),
            ('V-39', dict(norm_cfg=dict(type='GN', num_groups=16))),
            r"set norm_cfg=dict\(type='BN'",
        ),
    ],
)
def test_another_network(source, target, said):
    state = meta(source[0], **dict(*source[1:]))
    with torch.device('meta'):
        model = VoVNet(target[0], **dict(*target[1:]))
    with pytest.raises(CheckpointError, match=said):
        model.load_state_dict(state)


def test_another_network_through_a_file(tmp_path):
    path = save(THEIRS, tmp_path)
    init_cfg = dict(type='Pretrained', checkpoint=path, prefix='backbone.')
    model = VoVNet('V-39', init_cfg=init_cfg)
    with pytest.raises(CheckpointError, match='set arch='):
        model.init_weights()


def test_no_vovnet(tmp_path):
    resnet = {'conv1.weight': torch.ones(2), 'fc.bias': torch.ones(2)}
    with pytest.raises(CheckpointError, match="no VoVNet.*'conv1.weight'"):
        load_checkpoint(VoVNet(ARCH), save(resnet, tmp_path))
    with pytest.raises(CheckpointError, match="no VoVNet.*'conv1.weight'"):
        Wrapped().load_state_dict(prefixed('backbone.', resnet), strict=False)
    neck = {'neck.bias': torch.ones(2)}
    Wrapped().load_state_dict(neck, strict=False)  # says nothing of it


def test_a_name_that_no_stage_has():
    state = OURS | {'stages.extra.weight': torch.ones(1)}
    with pytest.raises(CheckpointError, match='unknown.*stages.extra.weight'):
        VoVNet(ARCH).load_state_dict(state)


def test_arch_without_a_name():
    row = dict(VoVNet.arch_settings['V-39'], num_modules=(1, 2, 6, 3))  # V-75
    with pytest.raises(CheckpointError, match=r'num_modules.*\(1, 2, 6, 3\)'):
        VoVNet('V-39').load_state_dict(meta(row))


@pytest.mark.parametrize(
    'lost',
    ['stem.stem_2/conv.weight', 'stage3.OSA3_1.layers.4.OSA3_1_4/norm.bias'],
)
def test_incomplete(lost):
    state = {k: v for k, v in THEIRS.items() if k != lost}
    with pytest.raises(CheckpointError, match=r'stem\.1|layers\.4\.bn\.bias'):
        VoVNet(ARCH).load_state_dict(state)


# Other channels


def started(channels, tmp_path):
    init_cfg = dict(type='Pretrained', checkpoint=save(THEIRS, tmp_path))
    model = VoVNet(ARCH, in_channels=channels, init_cfg=init_cfg)
    model.init_weights()
    return model.eval()


@torch.no_grad()
def test_a_grey_image_gives_what_its_equal_channels_gave(tmp_path, messages):
    grey = torch.rand(1, 1, 64, 64)
    pairs = zip(
        started(1, tmp_path)(grey),
        started(3, tmp_path)(grey.expand(-1, 3, -1, -1)),
        strict=True,
    )
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs)
    assert any(
        'in_channels is 1: its weights are summed' in t for _, t in messages
    )


@pytest.mark.parametrize('channels', [1, 2, 4, 6, 7])
def test_channels_are_adapted_as_by_timm(channels, tmp_path):
    timm = pytest.importorskip('timm.models')
    first = OURS['stem.0.conv.weight']
    model = started(channels, tmp_path)
    assert model.pixels == ()
    expected = timm.adapt_input_conv(channels, first)
    torch.testing.assert_close(model.stem[0].conv.weight.data, expected)
    path = str(tmp_path / 'checkpoint.pth')
    again = VoVNet.from_pretrained(path, in_channels=channels)
    assert again.stem[0].conv.weight.equal(model.stem[0].conv.weight)


@pytest.mark.parametrize(
    ('file', 'model', 'said'),
    [
        (3, 4, 'for 4 channels: set in_channels=3 .*Pretrained'),
        (
            4,
            3,
            'for 4 channels, .*: set in_channels=4 in the [^,]*$',
        ),
    ],
)
def test_channels_that_differ_where_a_model_is_used(file, model, said):
    state = meta(ARCH, in_channels=file)
    with torch.device('meta'):
        model = VoVNet(ARCH, in_channels=model)
    with pytest.raises(CheckpointError, match=said):
        model.load_state_dict(state)


# What weights cannot tell


def test_identity(messages):
    timm = pytest.importorskip('timm')
    with torch.device('meta'):
        state = timm.create_model('vovnet39a').state_dict()
        VoVNet('V-39', identity=False).load_state_dict(state, assign=True)
        assert not _warnings(messages)
        VoVNet('V-39').load_state_dict(state, assign=True)
    assert 'set identity=False' in _warnings(messages)


def test_stem_strides(messages):
    VoVNet(ARCH, stem_strides=(2, 1, 2)).load_state_dict(THEIRS)
    assert not _warnings(messages)
    VoVNet(ARCH, stem_strides=(2, 1, 1)).load_state_dict(THEIRS)
    assert 'stem_strides=(2, 1, 2)' in _warnings(messages)


def test_pixels_are_told(messages):
    VoVNet(ARCH).load_state_dict(OURS)
    assert not any('expect' in text for _, text in messages)
    VoVNet(ARCH).load_state_dict(THEIRS)
    assert any('expect RGB images, mean (123.675' in t for _, t in messages)
    VoVNet(ARCH).load_state_dict(prefixed('img_backbone.'))
    assert any('BGR images, mean (103.53, 116.28' in t for _, t in messages)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_nan_and_infinity(value, tmp_path, messages):
    state = copy.deepcopy(THEIRS)
    state['stem.stem_2/conv.weight'][0, 0, 0, 0] = value
    load_checkpoint(VoVNet(ARCH), save(state, tmp_path))
    assert 'stem.stem_2/conv.weight' in _warnings(messages)


def _warnings(messages):
    return ' '.join(text for level, text in messages if level == 'WARNING')
