import copy
import gc
from collections import Counter
from contextlib import nullcontext
from unittest.mock import patch

import pytest
import torch
from benchmark.allocations import saved_bytes
from mmengine.analysis import get_model_complexity_info
from torch import distributed, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from mmvovnet import VoVNet
from mmvovnet.models.memory import (
    recompute,
    recompute_elementwise,
    recompute_forward,
    recorder,
)
from mmvovnet.models.osa import OSAModule

TINY = dict(
    stem_channels=(8, 8, 16),
    conv_channels=(8, 8, 8, 8),
    out_channels=(16, 16, 16, 16),
    num_modules=(1, 1, 2, 2),
    num_layers=2,
)


def tiny(memory_efficient=True, arch=TINY, **kwargs):
    torch.manual_seed(0)
    return VoVNet(arch, memory_efficient=memory_efficient, **kwargs)


def images(**kwargs):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, 64, 64, generator=generator, **kwargs)


def backward(outs):
    sum(out.float().square().mean() for out in outs).backward()


def train(model, x, dtype=None):
    """Return all that a forward and a backward pass change."""
    torch.manual_seed(2)
    x = x.clone().requires_grad_()
    with torch.autocast('cpu', dtype, enabled=dtype is not None):
        outs = model(x)
    backward(outs)
    grads = {name: p.grad for name, p in model.named_parameters()}
    return outs, x.grad, grads, dict(model.named_buffers())


SITUATIONS = {
    'V1': {},
    'paper, ReLU6': dict(
        stem_strides=(2, 1, 1),
        identity=False,
        act_cfg=dict(type='ReLU6', inplace=True),
    ),
    'eSE, drop path': dict(gate='eSE', drop_path_rate=0.5),
    'SE, last, SiLU': dict(
        gate='SE', gate_place='last', act_cfg=dict(type='SiLU', inplace=True)
    ),
    'ECA, LeakyReLU': dict(gate='ECA', act_cfg=dict(type='LeakyReLU')),
    'GN': dict(norm_cfg=dict(type='GN', num_groups=4)),
    'SyncBN': dict(norm_cfg=dict(type='SyncBN')),
    'BN without affine': dict(norm_cfg=dict(type='BN', affine=False)),
    'depthwise': dict(arch=TINY | dict(depthwise=True)),
    'bottleneck, one output': dict(bottleneck=True, out_indices=(2,)),
    'norm_eval': dict(norm_eval=True),
    'frozen norms': dict(norm_cfg=dict(type='BN', requires_grad=False)),
    'frozen stages': dict(frozen_stages=2),
    'with_cp': dict(with_cp=True, gate='eSE', drop_path_rate=0.5),
    'with_cp, norm_eval': dict(with_cp=True, norm_eval=True),
}


@pytest.mark.parametrize('kwargs', SITUATIONS.values(), ids=SITUATIONS)
def test_bit_equal_to_plain(kwargs):
    plain, saving = tiny(False, **kwargs), tiny(**kwargs)
    x = images()
    torch.testing.assert_close(
        train(saving, x), train(plain, x), rtol=0, atol=0
    )
    assert saved_bytes(saving, x) < 0.8 * saved_bytes(plain, x)


@pytest.mark.parametrize(
    'kwargs',
    [dict(gate='eSE'), dict(norm_cfg=dict(type='GN', num_groups=4))],
    ids=['BN', 'GN'],
)
def test_autocast(kwargs):
    plain, saving = tiny(False, **kwargs), tiny(**kwargs)
    x = images()
    torch.testing.assert_close(
        train(saving, x, torch.bfloat16),
        train(plain, x, torch.bfloat16),
        rtol=0,
        atol=0,
    )
    full = saved_bytes(saving, x)
    with torch.autocast('cpu', torch.bfloat16):
        half = saved_bytes(saving, x)
    # Casts are not kept beside what they cast; pool indices stay 64 bit.
    assert half < 0.65 * full


def test_channels_last():
    x = images().to(memory_format=torch.channels_last)
    plain, saving = tiny(False), tiny()
    for model in (plain, saving):
        model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(
        train(saving, x), train(plain, x), rtol=0, atol=0
    )


def test_deformable_convs():
    pytest.importorskip('mmcv.ops', reason='mmcv has no ops')
    kwargs = dict(
        dcn=dict(type='DCNv2'), stage_with_dcn=(True, False, False, False)
    )
    x = images()
    torch.testing.assert_close(
        train(tiny(**kwargs), x), train(tiny(False, **kwargs), x)
    )


@pytest.mark.parametrize(
    ('arch', 'peer'),
    [
        ('V-39-eSE', 'ese_vovnet39b'),
        ('V-19-dw-eSE', 'ese_vovnet19b_dw'),
    ],
)
def test_memory_against_timm(arch, peer):
    timm = pytest.importorskip('timm', reason='timm is not installed')
    with torch.device('meta'):  # counts bytes and computes nothing
        ours = VoVNet(arch, memory_efficient=True)
        theirs = timm.create_model(peer, features_only=True)
        x = torch.empty(8, 3, 224, 224)
        assert saved_bytes(ours, x) <= 0.35 * saved_bytes(theirs, x)


def test_memory_is_freed_without_garbage_collection():
    model, storages = tiny(), []

    def note(module, inputs, out):
        storages.append(StorageWeakRef(out.untyped_storage()))

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    gc.disable()
    try:
        loss = sum(out.sum() for out in model(images()))
        # The conv of the image, the first, is repeated.
        expired = [storage.expired() for storage in storages]
        assert expired == [True] + [False] * (len(expired) - 1)
        loss.backward()
        assert all(storage.expired() for storage in storages)
    finally:
        gc.enable()


# Number of operations


@pytest.fixture
def elemt():
    """SyncBN's op, which has no kernel on CPUs."""

    def run(x, weight, bias, mean, invstd, eps):
        out = (x - mean[:, None, None]) * invstd[:, None, None]
        out = out * weight[:, None, None] + bias[:, None, None]
        return out.to(x.dtype)

    library = torch.library.Library('aten', 'IMPL')
    library.impl('batch_norm_elemt', run, 'CPU')
    yield
    library._destroy()


class Count(TorchDispatchMode):
    """Operations that launch a kernel on a GPU, by name."""

    def __init__(self):
        super().__init__()
        self.launches = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if func is torch.ops.aten.convolution_backward.default:
            self.launches[name] += sum(args[-1])  # a kernel for each gradient
        elif not (func.is_view or name.startswith(('empty', 'new_empty'))):
            self.launches[name] += 1
        return func(*args, **(kwargs or {}))


def count(model, dtype=None):
    """Launches of the forward and of the backward pass."""
    forward, back = Count(), Count()
    with forward, torch.autocast('cpu', dtype, enabled=dtype is not None):
        loss = sum(out.sum() for out in model(images()))
    with back:
        loss.backward()
    return forward.launches, back.launches


def on_gpus(osa, x):
    """Small maps are concatenated there."""
    return False


@pytest.mark.parametrize('dtype', [None, torch.bfloat16], ids=str)
def test_launches_on_a_gpu(dtype, elemt, monkeypatch):
    monkeypatch.setattr(OSAModule, 'adds_up', on_gpus)
    monkeypatch.setattr(recorder, '_FUSED_NORM_DEVICES', {'cpu'})
    plain = sum(map(Counter.total, count(tiny(False), dtype)))
    saving = sum(map(Counter.total, count(tiny(), dtype)))
    assert plain < saving <= 1.5 * plain


@pytest.mark.parametrize('cat', [False, True], ids=['sum', 'concatenation'])
@pytest.mark.parametrize('dtype', [None, torch.bfloat16], ids=str)
def test_norms_are_made_again_once(dtype, cat, monkeypatch):
    if cat:
        monkeypatch.setattr(OSAModule, 'adds_up', on_gpus)
    forward, back = count(tiny(), dtype)
    norms = forward['native_batch_norm']
    # Pools and additions read the outputs of modules as well.
    assert back['native_batch_norm'] == norms + 8
    assert back['convolution'] <= 2  # of the image


def test_maps_of_a_large_concatenation_are_not_held(monkeypatch):
    monkeypatch.setattr(OSAModule, 'adds_up', on_gpus)
    norms = []
    for small in (2**24, 0):
        monkeypatch.setattr(recorder, 'SMALL_BYTES', small)
        norms.append(count(tiny())[1]['native_batch_norm'])
    assert norms[0] < norms[1]


def test_checkpointing_launches_no_copies():
    _, back = count(tiny(False, with_cp=True))
    assert not back['clone'] and not back['mul']


@pytest.mark.parametrize('size', [8, 64])
def test_large_maps_are_added_up_on_a_gpu(size):
    osa = OSAModule(256, 128, 256, 5, memory_efficient=True)
    x = torch.empty(8, 256, size, size, device='meta')
    assert osa.adds_up(x) == (size > 8)


# Order and number of passes


def test_statistics_are_updated_once():
    model = tiny()
    backward(model(images()))
    counts = [
        int(m.num_batches_tracked)
        for m in model.modules()
        if isinstance(m, _BatchNorm)
    ]
    assert set(counts) == {1}


def test_backward_twice_through_one_graph():
    plain, saving = tiny(False), tiny()
    for model in (plain, saving):
        loss = model(images())[-1].sum()
        loss.backward(retain_graph=True)
        loss.backward()
    for ours, theirs in zip(
        saving.parameters(), plain.parameters(), strict=True
    ):
        assert ours.grad is None or torch.equal(ours.grad, theirs.grad)


def test_two_forward_passes_before_backward():
    plain, saving = tiny(False), tiny()
    for model in (plain, saving):
        first, second = model(images()), model(1 - images())
        backward(first)
        backward(second)
    torch.testing.assert_close(
        [p.grad for p in saving.parameters()],
        [p.grad for p in plain.parameters()],
        rtol=0,
        atol=0,
    )


def test_double_backward_is_refused():
    x = images(requires_grad=True)
    loss = tiny()(x)[-1].square().sum()
    with pytest.raises(RuntimeError, match='no double backward'):
        torch.autograd.grad(loss, x, create_graph=True)


@pytest.mark.parametrize('what', ['weight', 'image'])
def test_change_in_place_is_noticed(what):
    model, x = tiny(), images()
    outs = model(x)
    with torch.no_grad():
        if what == 'weight':
            model.stages[1].blocks[0].aggregate.bn.weight.mul_(2)
        else:
            x.mul_(2)
    with pytest.raises(RuntimeError, match='changed in place'):
        backward(outs)


def test_nothing_is_recorded_without_gradients():
    model = tiny()
    with (
        torch.no_grad(),
        patch.object(
            recompute, 'recompute_elementwise', side_effect=AssertionError
        ),
    ):
        assert len(model(images())) == 4


def test_inside_an_outer_checkpoint():
    plain, saving = tiny(False), tiny()
    x = images()
    backward(plain(x))
    backward(checkpoint(saving, x, use_reentrant=False))
    for ours, theirs in zip(
        saving.parameters(), plain.parameters(), strict=True
    ):
        assert torch.equal(ours.grad, theirs.grad)


def test_outer_checkpoint_keeps_its_input_only():
    x = images()
    plain, saving = tiny(False), tiny()

    def kept(model):
        wrapped = nn.Module()
        wrapped.forward = lambda x: checkpoint(model, x, use_reentrant=False)
        wrapped.model = model
        return saved_bytes(wrapped, x)

    assert kept(saving) == kept(plain) == x.nbytes


def test_fsdp_of_every_stage():
    fsdp = pytest.importorskip('torch.distributed.fsdp')
    if not hasattr(fsdp, 'fully_shard'):
        pytest.skip('no FSDP2 in this torch')
    distributed.init_process_group(
        'gloo', store=distributed.HashStore(), rank=0, world_size=1
    )
    try:
        mesh = distributed.device_mesh.init_device_mesh('cpu', (1,))
        plain, saving = tiny(False), tiny()
        for part in (*saving.stages, saving):
            fsdp.fully_shard(part, mesh=mesh)
        backward(saving(images()))
        backward(plain(images()))
        for ours, theirs in zip(
            saving.parameters(), plain.parameters(), strict=True
        ):
            assert torch.equal(ours.grad.full_tensor(), theirs.grad)
    finally:
        distributed.destroy_process_group()


def test_distributed():
    distributed.init_process_group(
        'gloo', store=distributed.HashStore(), rank=0, world_size=1
    )
    try:
        plain, saving = tiny(False), tiny()
        wrapped = nn.parallel.DistributedDataParallel(saving)
        for _ in range(2):
            backward(wrapped(images()))
            backward(plain(images()))
    finally:
        distributed.destroy_process_group()
    for ours, theirs in zip(
        saving.parameters(), plain.parameters(), strict=True
    ):
        assert torch.equal(ours.grad, theirs.grad)
    torch.testing.assert_close(
        dict(saving.named_buffers()), dict(plain.named_buffers())
    )


def test_a_trace_shows_the_model_alone():
    """As mmdet's get_flops takes one."""
    flops = [
        get_model_complexity_info(model, (3, 64, 64), show_table=False)[
            'flops'
        ]
        for model in (tiny(False), tiny(with_cp=True).train())
    ]
    assert len({*flops}) == 1 and flops[0] > 0


def test_with_cp_as_well_keeps_least():
    kept = {
        (cp, efficient): saved_bytes(
            tiny(memory_efficient=efficient, with_cp=cp, gate='eSE'), images()
        )
        for cp in (False, True)
        for efficient in (False, True)
    }
    both = kept[True, True]
    assert both < 0.8 * kept[True, False]
    assert both < kept[False, True]


def test_with_cp_as_well_behind_a_frozen_stem():
    x = torch.rand(2, 3, 64, 64)
    grads = []
    for efficient in (False, True):
        model = tiny(efficient, with_cp=True, frozen_stages=1)
        backward(model(x))
        grads.append({n: p.grad for n, p in model.named_parameters()})
    assert grads[0]['stem.0.conv.weight'] is None
    torch.testing.assert_close(*grads)


def test_with_cp_as_well_in_half_precision():
    x = images()
    results = [
        train(tiny(efficient, with_cp=True), x, torch.bfloat16)
        for efficient in (False, True)
    ]
    for plain, ours in zip(*[r[0] for r in results], strict=True):
        assert plain.dtype == ours.dtype == torch.bfloat16
        assert torch.equal(plain, ours)
    for name, grad in results[0][2].items():
        torch.testing.assert_close(results[1][2][name], grad)


def test_with_cp_as_well_inside_an_outer_checkpoint_and_twice_backward():
    model = tiny(with_cp=True)
    outs = checkpoint(model, images(), use_reentrant=False)
    loss = sum(out.square().mean() for out in outs)
    loss.backward(retain_graph=True)
    grads = [p.grad.clone() for p in model.parameters()]
    plain = tiny(False)
    backward(plain(images()))
    for grad, p in zip(grads, plain.parameters(), strict=True):
        torch.testing.assert_close(grad, p.grad)
    with pytest.raises(RuntimeError, match='double backward'):
        (x,) = torch.autograd.grad(
            sum(o.square().mean() for o in model(images())),
            [model.stages[0].blocks[0].aggregate.conv.weight],
            create_graph=True,
        )
        x.sum().backward()


# The context by itself


def test_additions_reach_back_to_the_last_but_one_only():
    model = tiny(arch=TINY | dict(num_modules=(1, 1, 1, 9)))
    kept = []
    for block in model.stages[3].blocks:
        block.register_forward_hook(
            lambda module, inputs, out: kept.append(
                StorageWeakRef(out.untyped_storage())
            )
        )
    loss = sum(out.sum() for out in model(images()))
    # The first has no addition, and nothing needs the last one's.
    kept = [not storage.expired() for storage in kept]
    assert kept == [False, *[False, True] * 3, False, False]
    loss.backward()


@pytest.mark.parametrize('size', [32, 200])  # indices of 16 and 32 bits
@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('batched', [False, True])
def test_max_pool(size, channels_last, batched):
    x = torch.randn(2, 2, size, size) if batched else torch.randn(2, 9, size)
    if channels_last and batched:
        x = x.to(memory_format=torch.channels_last)
    grads = []
    for context in (nullcontext, recompute_elementwise):
        leaf = x.clone().requires_grad_()
        with context():
            out = nn.functional.max_pool2d(leaf * 2, 3, 2, ceil_mode=True)
            loss = out.square().sum()
        del out
        loss.backward()
        grads.append(leaf.grad)
    assert torch.equal(*grads)


def test_a_whole_model():
    plain = tiny(False)
    saving = tiny(False)
    recompute_forward(saving)
    x = images()
    torch.testing.assert_close(
        train(saving, x), train(plain, x), rtol=0, atol=0
    )
    assert saved_bytes(saving, x) == saved_bytes(tiny(), x)
    with torch.no_grad():
        saving(x)
    with pytest.raises(RuntimeError, match='too small'):
        saving(x[..., :8])
    assert saved_bytes(saving, x) == saved_bytes(tiny(), x)


def test_sync_bn_does_not_gather_statistics_again(elemt):
    # The ops of torch's SyncBN, which has kernels for GPUs only.
    gathered = []

    class SyncBN(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight, bias):
            gathered.append(1)
            var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
            invstd = (var + 1e-5).rsqrt()
            ctx.save_for_backward(x, weight, mean, invstd)
            return torch.batch_norm_elemt(x, weight, bias, mean, invstd, 1e-5)

        @staticmethod
        def backward(ctx, grad):
            _, weight, _, invstd = ctx.saved_tensors
            return grad * (weight * invstd)[:, None, None], None, None

    class Net(nn.Sequential):
        def forward(self, x):
            with recompute_elementwise() if self.saving else nullcontext():
                x = self[0](x)
                x = SyncBN.apply(x, self[1].weight, self[1].bias)
                return self[2](torch.relu_(x))

    conv = nn.Conv2d(3, 8, 5, padding=2)  # not so cheap that it is repeated
    net = Net(conv, nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1))
    sizes, grads = [], []
    for net.saving in (False, True):
        net.zero_grad()
        net(images()).square().sum().backward()
        grads.append(net[2].weight.grad)
        sizes.append(saved_bytes(net, images()))
    assert torch.equal(*grads)
    activation = 2 * 8 * 64 * 64 * 4
    assert sizes[0] - sizes[1] == activation
    assert len(gathered) == 4  # once a forward pass


def test_activation_in_place_on_a_conv_is_kept():
    # What it overwrites cannot be made again.
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)
    )
    plain = copy.deepcopy(net)
    with recompute_elementwise():
        out = net(images())
    out.sum().backward()
    plain(images()).sum().backward()
    assert torch.equal(net[2].weight.grad, plain[2].weight.grad)
    assert torch.equal(net[0].weight.grad, plain[0].weight.grad)


def written_to(x):
    return x.index_fill_(1, torch.tensor([0]), 3.0)


def written_to_through_a_view(x):
    x[:, :1].fill_(3.0)
    return x


ON_ACTIVATIONS = {
    'written to': written_to,
    'written to, a view': written_to_through_a_view,
    'random': lambda x: torch.bernoulli(x.sigmoid()),
    'random, pointwise': lambda x: functional.rrelu(x, training=True),
    'dropout': lambda x: functional.dropout(x, 0.5),
    'other stride': lambda x: x.transpose(2, 3),
    'other shape': lambda x: x[:1],
    'other offset': lambda x: x[1:],
    'other type': lambda x: (
        x.detach().bfloat16().view(torch.half).nan_to_num()
    ),
}


@pytest.mark.parametrize('change', ON_ACTIVATIONS.values(), ids=ON_ACTIVATIONS)
def test_what_a_recipe_does_not_make_is_kept(change):
    """A conv's gradient shows what was kept of its input."""
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    grads = []
    for context in (nullcontext, recompute_elementwise):
        last = torch.ones(2, 4, 1, 1, requires_grad=True)
        torch.manual_seed(1)
        with context():
            x = change(first(images()))
            out = functional.conv2d(x, last.to(x.dtype))
        torch.rand(1)
        out.float().square().sum().backward()
        grads.append(last.grad)
    torch.testing.assert_close(*grads, rtol=0, atol=0)
