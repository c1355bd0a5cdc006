"""One process for each of two GPUs; on a CPU or a single GPU just one."""

import functools

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.modules._functions import SyncBatchNorm

from mmvovnet.models.memory import recompute_elementwise
from mmvovnet.models.osa import OSAStage

from .conftest import error, images, step, tiny

SAVING = (dict(memory_efficient=True), dict(with_cp=True))


def ddp(device):
    x = images(device, seed=distributed.get_rank())
    wrap = nn.parallel.DistributedDataParallel
    expected = step(wrap(tiny(device)), x)
    for kwargs in SAVING:
        found = step(wrap(tiny(device, **kwargs)), x)
        assert error(found[1], expected[1]) < 1e-4


def fsdp1(device):
    """Weights that a prefetch brings on another stream are not used early."""
    from torch.distributed.fsdp import BackwardPrefetch
    from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    results = []
    for saving in (False, True):
        for prefetch in (None, BackwardPrefetch.BACKWARD_PRE):
            model = FSDP(
                tiny(device, memory_efficient=saving),
                auto_wrap_policy=ModuleWrapPolicy({OSAStage}),
                device_id=torch.device(device),
                use_orig_params=True,
                forward_prefetch=True,
                backward_prefetch=prefetch,
            )
            sum(o.square().sum() for o in model(images(device))).backward()
            with FSDP.summon_full_params(model, with_grads=True):
                results.append([p.grad.clone() for p in model.parameters()])
    for other in results[1:]:
        assert error(other, results[0]) < 1e-4


def worker(rank, check, device, world, path):
    backend = 'gloo'
    if device == 'cuda':
        backend, device = 'nccl', f'cuda:{rank}'
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        backend, init_method=f'file://{path}', rank=rank, world_size=world
    )
    try:
        check(device)
    finally:
        distributed.destroy_process_group()


def run(check, device, world, tmp_path):
    args = (check, device, world, tmp_path / 'store')
    if world == 1:
        worker(0, *args)
    else:
        multiprocessing.spawn(worker, args, world)


@pytest.mark.parametrize('check', [ddp, fsdp1])
def test_one_process(device, check, tmp_path):
    run(check, device, 1, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('check', [ddp, fsdp1])
def test_two_processes(device, check, tmp_path):
    if device == 'cuda' and torch.cuda.device_count() < 2:
        pytest.skip('needs two GPUs')
    run(check, device, 2, tmp_path)


class GatheringSyncBN(nn.SyncBatchNorm):
    """Gathers from one process, too, where torch's takes a batch norm."""

    def forward(self, x):
        return SyncBatchNorm.apply(
            *(x, self.weight, self.bias, self.running_mean, self.running_var),
            *(self.eps, self.momentum, distributed.group.WORLD, 1),
        )


def sync_bn(device):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3),
        GatheringSyncBN(16),
        nn.ReLU(),
        nn.Conv2d(16, 8, 3),
    ).to(device)
    x, grads = images(device), []
    for context in (
        functools.partial(torch.set_grad_enabled, True),
        recompute_elementwise,
    ):
        net.zero_grad()
        with context():
            out = net(x)
        out.square().sum().backward()
        grads.append([p.grad.clone() for p in net.parameters()])
    assert error(grads[1], grads[0]) < 1e-4


@pytest.mark.cuda
def test_sync_bn(tmp_path):
    run(sync_bn, 'cuda', 1, tmp_path)
