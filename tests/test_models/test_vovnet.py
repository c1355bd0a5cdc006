import copy
from bisect import bisect_left

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmvovnet import VoVNet

PARAMETERS = {
    'V-27-slim': 3_012_736,
    'V-39': 21_575_296,
    'V-57': 35_615_296,
    'V-19-slim-dw-eSE': 1_384_752,
    'V-19-dw-eSE': 5_518_080,
    'V-19-slim-eSE': 2_653_136,
    'V-19-eSE': 10_180_416,
    'V-39-eSE': 25_184_128,
    'V-57-eSE': 41_454_912,
    'V-99-eSE': 69_523_520,
}
TINY = dict(
    stem_channels=(8, 8, 16),
    conv_channels=(8, 8, 8, 8),
    out_channels=(16, 16, 16, 16),
    num_modules=(1, 1, 2, 2),
    num_layers=2,
)


def tiny(**kwargs):
    torch.manual_seed(0)
    return VoVNet(TINY, **kwargs)


def norms(module):
    return [m for m in module.modules() if isinstance(m, _BatchNorm)]


def count(module):
    return sum(p.numel() for p in module.parameters())


# The figures of the papers and their code


def on_meta(*args, **kwargs):
    """A network that is counted, not run."""
    with torch.device('meta'):
        return VoVNet(*args, **kwargs).eval()


@pytest.mark.parametrize(('arch', 'expected'), PARAMETERS.items())
def test_parameters(arch, expected):
    assert count(on_meta(arch)) == expected


@pytest.mark.parametrize('arch', VoVNet.arch_settings)
def test_shapes(arch):
    model = on_meta(arch)
    assert model.out_strides == (4, 8, 16, 32)
    for out, c, s in zip(
        model(torch.empty(2, 3, 224, 256, device='meta')),
        model.out_channels,
        model.out_strides,
        strict=True,
    ):
        assert out.shape == (2, c, 224 // s, 256 // s)


@pytest.mark.parametrize(
    ('arch', 'expected'),
    [
        ('V-39-eSE', 23_543_936),
        ('V-57-eSE', 37_583_936),
        ('V-99-eSE', 62_174_272),
    ],
)
def test_parameters_with_the_gate_in_the_last_module(arch, expected):
    assert count(on_meta(arch, gate_place='last')) == expected


def conv_macs(model, size):
    """Multiply-adds of the convs, and the elements they put out."""
    macs = outputs = 0

    def add(module, inputs, output):
        nonlocal macs, outputs
        macs += output.numel() * module.weight[0].numel()
        outputs += output.numel()

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(add)
    model(torch.empty(1, 3, size, size, device='meta'))
    return macs, outputs


@pytest.mark.parametrize(
    ('arch', 'published'), [('V-39', 7.09), ('V-57', 8.95)]
)
def test_gmacs_as_published(arch, published):
    """Published counts hold two operations per batch-normed element and the
    classifier."""
    macs, outputs = conv_macs(on_meta(arch), 224)
    total = macs + 2 * outputs + 1024 * 1000
    assert round(total / 1e9, 2) == published


@pytest.mark.parametrize(('arch', 'gmacs'), [('V-39', 7.76), ('V-57', 9.62)])
def test_gmacs_with_the_stem_of_the_paper(arch, gmacs):
    macs, _ = conv_macs(on_meta(arch, stem_strides=(2, 1, 1)), 224)
    assert round(macs / 1e9, 2) == gmacs


def test_the_bottleneck_of_table_3():
    """Table 3: 5.9M -> 4.8M parameters, 5.6 -> 4.6 GMACs at 300 pixels; all
    of the difference is in the backbone."""
    kwargs = dict(arch='V-27-slim', stem_strides=(2, 1, 1), identity=False)
    plain, slim = on_meta(**kwargs), on_meta(bottleneck=True, **kwargs)
    assert (count(plain) - count(slim)) / 1e6 == pytest.approx(1.1, abs=0.05)
    saved = conv_macs(plain, 300)[0] - conv_macs(slim, 300)[0]
    assert saved / 1e9 == pytest.approx(1.0, abs=0.1)


# Shapes


@pytest.mark.parametrize('strides', [(2, 1, 2), (2, 1, 1), (1, 2, 2)])
def test_strides(strides):
    model = tiny(stem_strides=strides).eval()
    sizes = [out.shape[2:] for out in model(torch.rand(1, 3, 64, 96))]
    assert sizes == [(16, 24), (8, 12), (4, 6), (2, 3)]


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((33, 65), [(9, 17), (4, 8), (2, 4), (1, 2)]),
        ((75, 101), [(19, 26), (9, 13), (4, 6), (2, 3)]),
        ((97, 29), [(25, 8), (12, 4), (6, 2), (3, 1)]),
    ],
)
def test_odd_sizes(size, expected):
    outs = tiny().eval()(torch.rand(1, 3, *size))
    assert [tuple(out.shape[2:]) for out in outs] == expected


def test_five_stages():
    per_stage = ('conv_channels', 'out_channels', 'num_modules')
    arch = TINY | {key: (*TINY[key], 1) for key in per_stage}
    model = VoVNet(arch, out_indices=(-1,)).eval()
    assert model.out_strides == (64,)
    assert model(torch.rand(1, 3, 128, 128))[0].shape == (1, 1, 2, 2)


# Dilation


OUTPUT_STRIDES = {
    16: dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)),
    8: dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
}
dilated = pytest.mark.parametrize('stride', OUTPUT_STRIDES)


@dilated
@pytest.mark.parametrize('size', [(64, 96), (75, 101)])
def test_dilation_puts_features_between_the_same_ones(stride, size):
    """With the same weights; a gate would see all of them at once."""
    model, dense = tiny().eval(), tiny(**OUTPUT_STRIDES[stride]).eval()
    dense.load_state_dict(model.state_dict(), strict=True)
    x = torch.rand(1, 3, *size)
    *_, expected = model(x)
    *others, found = dense(x)
    assert dense.out_strides == (4, 8, stride, stride)
    for out, s in zip((*others, found), dense.out_strides, strict=True):
        assert out.shape[2:] == dense_shape(size, s)
    step = 32 // stride
    torch.testing.assert_close(
        found[..., step - 1 :: step, step - 1 :: step], expected
    )


def dense_shape(size, stride):
    pools = {4: 0, 8: 1, 16: 2}[stride]
    return tuple(-(-n // 4) >> pools for n in size)


@torch.no_grad()
def receptive_field(model, size=576):
    """Columns of the image that the middle of the last map depends on."""

    def reaches(columns):
        x = torch.zeros(1, 3, 32, size)
        x[..., columns] = torch.nan
        out = model(x)[-1]
        return bool(out[..., out.size(3) // 2].isnan().any())

    first = bisect_left(
        range(size), True, key=lambda c: reaches(slice(0, c + 1))
    )
    end = bisect_left(
        range(size), True, key=lambda c: not reaches(slice(c, size))
    )
    return end - first


@dilated
def test_dilation_keeps_the_receptive_field(stride):
    strided, dense = (
        receptive_field(tiny(**options).eval())
        for options in ({}, OUTPUT_STRIDES[stride])
    )
    # by the kernels and strides of the last stage
    assert strided == dense == 499


@dilated
@pytest.mark.parametrize(
    'options',
    [
        dict(stem_strides=(2, 1, 1)),
        dict(gate='eSE', with_cp=True),
        dict(gate='eSE', memory_efficient=True),
    ],
)
def test_dilated_training(stride, options):
    kwargs = dict(OUTPUT_STRIDES[stride])
    if 'stem_strides' in options:
        kwargs['strides'] = (2, *kwargs['strides'][1:])
    model = tiny(**kwargs, **options)
    out = model(torch.rand(2, 3, 64, 64))[-1]
    assert out.shape[2:] == (64 // stride, 64 // stride)
    out.square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())


@dilated
def test_depthwise_and_deformable_convs_are_dilated(stride):
    dilations = OUTPUT_STRIDES[stride]['dilations']
    pytest.importorskip('mmcv.ops')
    for options in (
        dict(arch=TINY | dict(depthwise=True)),
        dict(arch=TINY, dcn=dict(type='DCNv2')),
    ):
        model = VoVNet(**options, **OUTPUT_STRIDES[stride])
        for stage, dilation in zip(model.stages, dilations, strict=True):
            found = {
                m.dilation
                for m in stage.blocks.modules()
                if getattr(m, 'kernel_size', 0) == (3, 3) and m.dilation
            }
            assert (dilation, dilation) in found
        assert (
            model.eval()(torch.rand(1, 3, 64, 64))[-1].size(2) == 64 // stride
        )


@pytest.mark.parametrize(
    'strides', [(1, 2, 2), (1, 2, 2, 3), (2, 2, 2, 2), (1, 0, 2, 2)]
)
def test_wrong_strides(strides):
    with pytest.raises(ValueError, match='strides must be 4 values of 1 or 2'):
        tiny(strides=strides)


@pytest.mark.parametrize(
    'dilations', [(1, 1, 2), (1, 1, 2, 0), (1, 1, 2, 1.5), (1, 1, 1, True)]
)
def test_wrong_dilations(dilations):
    with pytest.raises(ValueError, match='dilations must be 4 positive'):
        tiny(dilations=dilations)


# out_indices


@pytest.mark.parametrize(
    ('indices', 'expected'),
    [
        ((0, 1, 2, 3), (0, 1, 2, 3)),
        ([1, 3], (1, 3)),
        ((-1,), (3,)),
        ((3, 0), (3, 0)),
        ((-4, 1), (0, 1)),
    ],
)
def test_out_indices(indices, expected):
    before = copy.copy(indices)
    model = tiny(out_indices=indices).eval()
    everything = tiny().eval()
    everything.load_state_dict(model.state_dict(), strict=False)
    assert indices == before
    assert model.out_indices == expected
    assert len(model.stages) == max(expected) + 1
    x = torch.rand(1, 3, 64, 64)
    maps = everything(x)
    for out, i in zip(model(x), expected, strict=True):
        assert torch.equal(out, maps[i])


def test_every_parameter_gets_a_gradient():
    model = tiny(out_indices=(0, 2), gate='eSE')
    out = model(torch.rand(2, 3, 64, 64))[-1]
    out.sum().backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None]


# Freezing


@pytest.mark.parametrize('frozen', [-1, 0, 1, 2, 3, 4])
def test_frozen_stages(frozen):
    model = tiny(frozen_stages=frozen)
    parts = [model.stem, *model.stages]
    for _ in range(3):  # as built, trained, trained again
        for i, part in enumerate(parts):
            trains = i > frozen
            assert all(p.requires_grad == trains for p in part.parameters())
            assert norms(part)
            assert all(m.training == trains for m in norms(part))
        model.eval()
        model.train()
    before = [m.running_mean.clone() for m in norms(model)]
    model(torch.rand(2, 3, 64, 64))
    changed = [
        not torch.equal(m.running_mean, b)
        for m, b in zip(norms(model), before, strict=True)
    ]
    expected = [i > frozen for i, p in enumerate(parts) for _ in norms(p)]
    assert changed == expected


@pytest.mark.parametrize('kind', ['BN', 'SyncBN'])
def test_norm_eval(kind):
    model = tiny(norm_eval=True, norm_cfg=dict(type=kind))
    model.train()
    assert model.training
    assert norms(model)
    assert not any(m.training for m in norms(model))
    assert all(p.requires_grad for p in model.parameters())


# Options


@pytest.mark.parametrize(
    ('norm_cfg', 'kind'),
    [
        (dict(type='BN'), nn.BatchNorm2d),
        (dict(type='GN', num_groups=4), nn.GroupNorm),
        (dict(type='SyncBN'), nn.SyncBatchNorm),
    ],
)
def test_norm_cfg(norm_cfg, kind):
    before = dict(norm_cfg)
    model = tiny(norm_cfg=norm_cfg)
    assert norm_cfg == before
    kinds = (_BatchNorm, nn.GroupNorm)
    found = [m for m in model.modules() if isinstance(m, kinds)]
    assert found
    assert all(isinstance(m, kind) for m in found)
    outs = model.eval()(torch.rand(1, 3, 64, 64))
    assert all(out.isfinite().all() for out in outs)


@pytest.mark.parametrize(
    ('gate', 'place'),
    [('none', 'every'), ('SE', 'last'), ('eSE', 'every'), ('ECA', 'last')],
)
def test_gates(gate, place):
    model = tiny(gate=gate, gate_place=place)
    gated = [b.gate is not None for s in model.stages for b in s.blocks]
    last = [True, True, False, True, False, True]
    expected = last if place == 'last' else [True] * 6
    assert gated == (expected if gate != 'none' else [False] * 6)


def test_identity_starts_with_the_second_module():
    model = tiny()
    added = [[b.identity for b in s.blocks] for s in model.stages]
    assert added == [[False], [False], [False, True], [False, True]]
    off = tiny(identity=False)
    assert not any(b.identity for s in off.stages for b in s.blocks)
    arch = TINY | dict(out_channels=(16, 8, 16, 16))
    every = VoVNet(arch, identity='every')  # where channels are equal
    added = [[b.identity for b in s.blocks] for s in every.stages]
    assert added == [[True], [False], [False, True], [True, True]]


def test_drop_path_grows_with_depth():
    model = tiny(drop_path_rate=0.5)
    rates = [
        b.drop_path.drop_prob if b.drop_path else 0.0
        for s in model.stages
        for b in s.blocks
    ]
    assert rates == pytest.approx([0, 0, 0, 0.3, 0, 0.5])


@pytest.mark.parametrize(
    'kwargs',
    [dict(gate='eSE'), dict(norm_cfg=dict(type='GN', num_groups=4))],
)
def test_with_cp_equals_plain(kwargs):
    kwargs = kwargs | dict(drop_path_rate=0.5)
    plain, saving = tiny(**kwargs), tiny(with_cp=True, **kwargs)
    results = []
    for model in (plain, saving):
        x = torch.rand(
            2, 3, 64, 64, generator=torch.Generator().manual_seed(1)
        ).requires_grad_()
        torch.manual_seed(2)
        for _ in range(2):
            outs = model(x)
            sum(out.square().mean() for out in outs).backward()
        grads = {n: p.grad for n, p in model.named_parameters()}
        results.append((outs, x.grad, grads, dict(model.named_buffers())))
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_with_cp_twice_through_one_graph():
    model = tiny(with_cp=True)
    loss = model(torch.rand(2, 3, 64, 64))[-1].sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert {int(m.num_batches_tracked) for m in norms(model)} == {1}


def test_with_cp_runs_hooks_of_modules_once():
    model, seen = tiny(with_cp=True), []
    blocks = [block for stage in model.stages for block in stage.blocks]
    for block in blocks:
        block.register_forward_hook(lambda m, x, y: seen.append(m))
    model(torch.rand(2, 3, 64, 64))[-1].sum().backward()
    assert seen == blocks


def test_with_cp_of_a_frozen_stem():
    model = tiny(with_cp=True, frozen_stages=1)
    model(torch.rand(2, 3, 64, 64))[-1].sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) != parameter.requires_grad, name


@pytest.mark.parametrize('kind', ['DCN', 'DCNv2'])
def test_deformable_stages(kind):
    ops = pytest.importorskip('mmcv.ops', reason='mmcv has no ops')
    classes = (ops.DeformConv2dPack, ops.ModulatedDeformConv2dPack)
    model = tiny(
        dcn=dict(type=kind, deform_groups=1),
        stage_with_dcn=(False, False, True, True),
    )
    found = [
        sum(isinstance(m, classes) for m in stage.modules())
        for stage in model.stages
    ]
    assert found == [0, 0, 4, 4]
    model(torch.rand(2, 3, 128, 128))[-1].sum().backward()
    assert model.stages[3].blocks[0].layers[0].conv.weight.grad is not None


def test_get_layer_depth():
    model = tiny()
    depths = {}
    for name, _ in model.named_parameters():
        depth, total = model.get_layer_depth('backbone.' + name, 'backbone.')
        depths.setdefault(depth, set()).add(name.split('.layers')[0][:17])
        assert total == 8
    assert sorted(depths) == list(range(7))
    assert all(name.startswith('stem') for name in depths[0])
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (7, 8)


def test_init_weights():
    model = VoVNet('V-27-slim')
    model.init_weights()
    weight = model.stages[1].blocks[0].layers[1].conv.weight
    assert weight.std().item() == pytest.approx(
        (2 / (80 * 9)) ** 0.5, rel=0.02
    )
    assert all((m.weight == 1).all() for m in norms(model))
    pointwise = VoVNet('V-19-dw-eSE')
    pointwise.init_weights()
    depth = pointwise.stages[0].blocks[0].layers[0].depthwise_conv.conv.weight
    assert depth.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.1)


# Mistakes


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(arch='V-40'), 'V-40'),
        (dict(out_indices=(4,)), r'\(4,\)'),
        (dict(out_indices=(-5,)), r'-4 to 3'),
        (dict(out_indices=()), 'out_indices'),
        (dict(out_indices=(1.0,)), 'out_indices'),
        (dict(out_indices=(True,)), 'out_indices'),
        (dict(frozen_stages=True), 'got True'),
        (dict(frozen_stages=1.0), 'got 1.0'),
        *[
            (dict(in_channels=n), f'in_channels must be .* got {n!r}')
            for n in (0, -1, '3', 3.0, None, True)
        ],
        (dict(out_indices=(3, -1)), 'twice'),
        (dict(out_indices=3), 'like .3,.'),
        (dict(out_indices='3'), 'like .3,.'),
        (dict(frozen_stages=5), '-1 .*to 4.*got 5'),
        (dict(frozen_stages=-2), 'got -2'),
        (dict(stem_strides=(2, 2, 2)), 'stem_strides'),
        (dict(stem_strides=(4, 1, 1)), 'stem_strides'),
        (dict(stem_strides=(2, 2)), 'stem_strides'),
        (dict(gate='CBAM'), 'CBAM'),
        (dict(gate_place='first'), 'first'),
        (dict(drop_path_rate=1.0), 'drop_path_rate'),
        (dict(drop_path_rate=0.1, identity=False), 'identity=True'),
        (dict(arch='V-19-dw-eSE', bottleneck=True), 'bottleneck'),
        (dict(arch='V-19-dw-eSE', dcn=dict(type='DCN')), 'dcn'),
        (dict(dcn=dict(type='DCN'), stage_with_dcn=(True,)), '4 values'),
    ],
)
def test_wrong_values(kwargs, message):
    with pytest.raises(ValueError, match=message):
        VoVNet(**kwargs)


def test_an_unknown_option_is_named():
    with pytest.raises(TypeError, match=r"keyword argument 'out_indicies'"):
        VoVNet(out_indicies=1)


# Another implementation

TIMM = {
    'vovnet39a': dict(arch='V-39', identity=False),
    'ese_vovnet19b_dw': dict(arch='V-19-dw-eSE'),
    'eca_vovnet39b': dict(arch='V-39', gate='ECA', gate_place='last'),
}


@pytest.mark.parametrize('name', TIMM)
def test_equals_timm(name):
    """Both hold their layers in the order of the forward pass."""
    timm = pytest.importorskip('timm', reason='timm is not installed')
    torch.manual_seed(0)
    theirs = timm.create_model(name, features_only=True).eval()
    ours = VoVNet(**TIMM[name]).eval()
    state = theirs.state_dict()
    for key, value in state.items():
        if key.endswith(('running_mean', 'bias')):
            value.normal_(std=0.1)
    keys = ours.state_dict().keys()
    ours.load_state_dict(dict(zip(keys, state.values(), strict=True)))
    x = torch.rand(1, 3, 75, 101)
    with torch.no_grad():
        maps = zip(ours(x), theirs(x)[1:], strict=True)
    for out, expected in maps:
        scale = expected.abs().max().clamp(min=1)
        assert (out - expected).abs().max() <= 1e-5 * scale


# OpenMMLab


@pytest.mark.parametrize('scope', ['mmengine', 'mmdet', 'mmpretrain'])
def test_builds_from_every_scope(scope):
    if scope != 'mmengine':
        pytest.importorskip(scope, exc_type=ImportError)
    init_default_scope(scope)
    try:
        for name in ('VoVNet', 'mmvovnet.VoVNet'):
            model = MODELS.build(dict(type=name, arch=TINY))
            assert type(model) is VoVNet
    finally:
        DefaultScope._instance_dict.clear()


def test_no_clash_with_another_package():
    """mmdet3d has a VoVNet in its own child registry."""
    from mmengine.registry import Registry

    other = Registry('model', parent=MODELS, scope='other3d')
    try:

        @other.register_module(name='VoVNet')
        class Theirs(nn.Module):
            pass

        assert type(other.build(dict(type='VoVNet'))) is Theirs
        ours = other.build(dict(type='mmvovnet.VoVNet', arch=TINY))
        assert type(ours) is VoVNet
        assert type(MODELS.build(dict(type='VoVNet', arch=TINY))) is VoVNet
    finally:
        MODELS._children.pop('other3d')


# Deployment forms

SHORT = dict(
    stem_channels=(4, 4, 8),
    conv_channels=(4, 4),
    out_channels=(8, 8),
    num_modules=(1, 2),
    num_layers=2,
)


def short(**kwargs):
    torch.manual_seed(0)
    return VoVNet(SHORT, out_indices=(0, 1), **kwargs)


def test_compile():
    model = short(gate='eSE', drop_path_rate=0.3).eval()
    compiled = torch.compile(model, fullgraph=True, backend='eager')
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(compiled(x), model(x))


@pytest.mark.parametrize(
    'kwargs', [dict(gate='eSE', memory_efficient=True), dict(with_cp=True)]
)
def test_compile_training(kwargs):
    model, plain = (short(**kwargs).double() for _ in range(2))
    backend = 'aot_eager' if 'with_cp' in kwargs else 'eager'
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    x = torch.rand(2, 3, 16, 16, dtype=torch.double)
    for net in (compiled, plain):
        sum(out.sum() for out in net(x)).backward()
    torch.testing.assert_close(
        dict(model.named_buffers()), dict(plain.named_buffers())
    )
    for ours, theirs in zip(
        model.parameters(), plain.parameters(), strict=True
    ):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_export():
    model = short(gate='eSE').eval()
    x = torch.rand(2, 3, 16, 16)
    batch = torch.export.Dim('batch', min=2, max=16)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: batch},))
    y = torch.rand(3, 3, 16, 16)
    expected = copy.deepcopy(model)(y)
    torch.testing.assert_close(program.module()(y), expected)


@pytest.mark.parametrize('mode', ['eval', 'train'])
def test_jit_trace(mode):
    model = short(gate='eSE').train(mode == 'train')
    traced = torch.jit.trace(
        copy.deepcopy(model), torch.rand(2, 3, 16, 16), check_trace=False
    )
    y = torch.rand(2, 3, 21, 18)
    if mode == 'train':  # tracing was a forward of its own
        model.load_state_dict(traced.state_dict())
    torch.testing.assert_close(traced(y), model(y))


@pytest.mark.parametrize('mode', ['eval', 'train'])
def test_channels_last(mode):
    model = tiny(gate='eSE').train(mode == 'train')
    x = torch.rand(2, 3, 64, 64)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    outs = last(x.to(memory_format=torch.channels_last))
    assert all(
        out.is_contiguous(memory_format=torch.channels_last) for out in outs
    )
    torch.testing.assert_close(outs, model(x), rtol=1e-4, atol=1e-5)
