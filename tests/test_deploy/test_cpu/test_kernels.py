r"""The kernels against float64, on whatever inputs a user may have.

Under AddressSanitizer and UBSan, with test_packed.py::

    LD_PRELOAD="$(g++ -print-file-name=libasan.so) \
    $(g++ -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
    XDG_CACHE_HOME=$(mktemp -d) CXX='g++ -g -fsanitize=address,undefined \
    -fno-sanitize-recover=all' pytest tests/test_deploy/test_cpu
"""

import copy
import io
import multiprocessing
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmvovnet.deploy.cpu.packed import AggregateConv2d, WinogradConv2d

from .test_accelerate import kernels

pytestmark = [kernels, pytest.mark.slow]

CASES = 300
KINDS = (
    'plain',
    'not contiguous',
    'nan',
    'infinity',
    'denormal',
    'python threads',
    'fork',
    'deepcopy',
    'pickle',
    'narrow',
)
# Shares of the largest value that a sum of absolute products could have.
TOLERANCE = {WinogradConv2d: 4e-6, AggregateConv2d: 1e-6}
SMALLEST = 1e-36  # below it values may be taken for zero


def draw_shape(draw, kind):
    if kind == 'narrow':
        sides = [draw.randint(1, 5), draw.randint(1000, 4000)]
        draw.shuffle(sides)
        return [draw.randint(1, 2), *sides]
    return [
        draw.choice([0, 1, 1, 2, 3, 9]),
        *(round(70 ** draw.random()) for _ in range(2)),
    ]


def draw_case(seed):
    """A module, its inputs and the number of threads."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    kind = KINDS[seed % len(KINDS)]
    module = draw.choice([WinogradConv2d, AggregateConv2d])
    n, height, width = draw_shape(draw, kind)
    wide = kind == 'narrow' or n * height * width > 9000
    outs = 16 * draw.randint(1, 3 if wide else 9)
    if module is WinogradConv2d:
        channels = [16 * draw.randint(1, 3 if wide else 9)]
        conv = nn.Conv2d(channels[0], outs, 3, padding=1)
    else:
        most = 20 if wide else 90
        channels = [draw.randint(1, most) for _ in range(draw.randint(1, 6))]
        conv = nn.Conv2d(sum(channels), outs, 1, bias=draw.random() < 0.8)
    conv.requires_grad_(False)
    scale = draw.choice([1e-30, 1e-3, 1, 1, 1, 1e3, 1e30])
    layout = draw.choice([torch.contiguous_format, torch.channels_last])
    xs = [
        (torch.randn(n, c, height, width) * scale).to(memory_format=layout)
        for c in channels
    ]
    if kind == 'denormal':
        xs = [torch.where(x < 0, 1e-40 * torch.randn_like(x), x) for x in xs]
    if kind == 'not contiguous':
        xs = [scatter(draw, x) for x in xs]
    if kind in ('nan', 'infinity'):
        values = [float('nan')] if kind == 'nan' else [float('inf'), -1e999]
        for x in filter(torch.numel, xs):
            for _ in range(draw.randint(1, 3)):
                index = [draw.randrange(side) for side in x.shape]
                x[tuple(index)] = draw.choice(values)
    fast = module(conv, activate=draw.random() < 0.5)
    return kind, fast, xs, draw.randint(1, 4)


def scatter(draw, x):
    """The same values, elsewhere in memory."""
    way = draw.randrange(4)
    if way == 0:
        return x.transpose(2, 3).contiguous().transpose(2, 3)
    if way == 1:
        return F.pad(x, (1, 2, 3, 1, 5, 0))[:, 5:, 3:-1, 1:-2]
    if way == 2:
        return x.repeat_interleave(2, 3)[..., ::2]
    return x[:, :1].expand(x.shape)


def bands(height, width):
    """The rows to compare: of a large map, some at the edges and inside."""
    if height * width < 10**6:
        return [(0, height)]
    middle = height // 2
    return [(0, 6), (middle, middle + 6), (height - 6, height)]


def run(fast, xs, threads):
    torch.set_num_threads(threads)
    assert fast.serves(xs)
    return fast(xs[0] if isinstance(fast, WinogradConv2d) else xs)


def reference(fast, xs, begin, end):
    """Rows of the outputs in float64, and their largest possible value."""
    x = torch.cat([x[:, :, max(begin - 1, 0) : end + 1] for x in xs], 1)
    x, weight = x.double(), fast.weight.double()
    bias = None if fast.bias is None else fast.bias.double()
    padding = fast.padding
    out = F.conv2d(x, weight, bias, padding=padding)
    size = F.conv2d(
        x.nan_to_num(0, 0, 0).abs(),
        weight.abs(),
        None if bias is None else bias.abs(),
        padding=padding,
    )
    rows = slice(min(begin, 1), min(begin, 1) + end - begin)
    out = out.relu() if fast.activate else out
    return out[:, :, rows], size.amax((1, 2, 3), keepdim=True)


def reached(fast, xs, begin, end):
    """The pixels which a value that is not finite may reach."""
    bad = sum((~x.isfinite()).any(1, keepdim=True) for x in xs) > 0
    if isinstance(fast, AggregateConv2d):
        return bad[:, :, begin:end]
    height, width = bad.shape[2:]
    # A tile of 4x4 outputs is made from 6x6 inputs.
    padded = F.pad(bad.float(), (1, 4 - width % 4 + 1, 1, 4 - height % 4 + 1))
    tiles = F.max_pool2d(padded, 6, stride=4)
    pixels = tiles.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return pixels[:, :, begin:end, :width].bool()


def assert_near(fast, xs, actual):
    n, _, height, width = xs[0].shape
    assert actual.shape == (n, fast.out_channels, height, width)
    if not actual.numel():
        return
    for begin, end in bands(height, width):
        expected, size = reference(fast, xs, begin, end)
        found = actual[:, :, begin:end].double()
        spoilt = reached(fast, xs, begin, end).expand_as(found)
        error = (found - expected).abs()
        limit = TOLERANCE[type(fast)] * size + SMALLEST
        assert (error <= limit)[~spoilt].all(), (
            (error / size).nan_to_num(0).max()
        )
        assert not found[~expected.isfinite()].isfinite().any()


def in_threads(fast, xs, threads, expected):
    """Several threads of Python run a module at once, and it packs anew."""
    fast.weight.mul_(1)  # in place: `packed` is out of date
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(run, fast, xs, threads) for _ in range(8)]
    assert all(torch.equal(job.result(), expected) for job in jobs)


def in_fork(fast, xs, expected):
    """As a data loader's worker does: with one thread."""

    def work():
        raise SystemExit(not torch.equal(run(fast, xs, 1), expected))

    process = multiprocessing.get_context('fork').Process(target=work)
    process.start()
    process.join(60)
    process.kill()
    assert process.exitcode == 0


@pytest.fixture(autouse=True)
def threads_of_torch():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize('seed', range(CASES))
@torch.no_grad()
def test_near_float64(seed):
    kind, fast, xs, threads = draw_case(seed)
    actual = run(fast, xs, threads)
    assert_near(fast, xs, actual)
    if kind == 'python threads':
        in_threads(fast, xs, threads, actual)
    elif kind == 'fork':
        in_fork(fast, xs, actual)
    elif kind in ('deepcopy', 'pickle'):
        again = copy.deepcopy(fast) if kind == 'deepcopy' else pickled(fast)
        assert torch.equal(run(again, xs, threads), actual)


def pickled(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize('kind', [WinogradConv2d, AggregateConv2d])
@torch.no_grad()
def test_large(kind):
    torch.manual_seed(0)
    x = torch.randn(1, 16, 4000, 4000).to(memory_format=torch.channels_last)
    winograd = kind is WinogradConv2d
    conv = nn.Conv2d(16, 16, *((3, 1, 1) if winograd else (1,)))
    fast = kind(conv.requires_grad_(False))
    assert_near(fast, [x], run(fast, [x], 2))
