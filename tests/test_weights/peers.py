"""Public code in its own names, written anew: what conversion must match."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from mmvovnet.models.archs import resolve_arch
from tests.data.fill import image, values

FOLDER = Path(__file__).parents[1] / 'data'

# Peers whose outputs were recorded: names, shapes and stages' features.
RECORDED = ('det2_V-19-slim-dw-eSE', 'det2_V-39-eSE', 'seed_vovnet27_slim')


# V-27-slim with few channels.
TINY = dict(
    stem_channels=(8, 8, 8),
    conv_channels=(8,) * 4,
    out_channels=(16, 24, 32, 40),
    num_modules=(1,) * 4,
    num_layers=5,
)


def load_recorded(name):
    """Weights, image and outputs of a recorded peer."""
    shapes = json.loads((FOLDER / f'{name}.keys.json').read_text())
    state = {k: torch.as_tensor(values(k, s)) for k, s in shapes.items()}
    with np.load(FOLDER / f'{name}.npz') as outputs:
        return state, image(64), dict(outputs)


def fill(shapes):
    """Weights that depend on names and shapes alone, He-scaled."""
    state = {}
    for name, shape in shapes.items():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        value = torch.randn(shape, generator=generator)
        if name.endswith('num_batches_tracked'):
            value = torch.zeros(shape, dtype=torch.int64)
        elif name.endswith('running_var'):
            value = 1 + 0.1 * value.abs()
        elif len(shape) > 1:
            value *= math.sqrt(2 / math.prod(shape[1:]))
        else:
            value = 0.1 * value + name.endswith(('weight', 'scale'))
        state[name] = value
    return state


def authors_shapes(arch, tracked=True):
    """Names and shapes in the code of VoVNet's authors, V1 and V2."""
    row = resolve_arch(arch)
    shapes = {}

    def norm(name, width):
        for part in ('weight', 'bias', 'running_mean', 'running_var'):
            shapes[f'{name}.{part}'] = (width,)
        if tracked:
            shapes[f'{name}.num_batches_tracked'] = ()

    def conv(name, width, out, size):
        shapes[f'{name}/conv.weight'] = (out, width, size, size)
        norm(f'{name}/norm', out)

    def conv3x3(name, width, out):
        if not row['depthwise']:
            return conv(name, width, out, 3)
        shapes[f'{name}/dw_conv3x3.weight'] = (width, 1, 3, 3)
        shapes[f'{name}/pw_conv1x1.weight'] = (out, width, 1, 1)
        norm(f'{name}/pw_norm', out)

    stem = row['stem_channels']
    conv('stem.stem_1', 3, stem[0], 3)
    conv3x3('stem.stem_2', stem[0], stem[1])
    conv3x3('stem.stem_3', stem[1], stem[2])
    width = stem[2]
    for i, modules in enumerate(row['num_modules']):
        inner, out = row['conv_channels'][i], row['out_channels'][i]
        for k in range(1, modules + 1):
            short = f'OSA{i + 2}_{k}'
            name, channels = f'stage{i + 2}.{short}', width
            if row['depthwise'] and width != inner:
                reduction = f'{name}.conv_reduction.{short}_reduction_0'
                conv(reduction, width, inner, 1)
                channels = inner
            for n in range(row['num_layers']):
                conv3x3(f'{name}.layers.{n}.{short}_{n}', channels, inner)
                channels = inner
            concat = width + row['num_layers'] * inner
            conv(f'{name}.concat.{short}_concat', concat, out, 1)
            if row['gate'] == 'eSE':
                shapes[f'{name}.ese.fc.weight'] = (out, out, 1, 1)
                shapes[f'{name}.ese.fc.bias'] = (out,)
            width = out
    return shapes


@torch.no_grad()
def authors_forward(state, x):
    """The four stages' features, by weights in the authors' names."""

    def norm(name, x):
        parts = ('running_mean', 'running_var', 'weight', 'bias')
        return F.batch_norm(x, *(state[f'{name}.{part}'] for part in parts))

    def conv(name, x, stride=1):
        if f'{name}/conv.weight' in state:
            weight = state[f'{name}/conv.weight']
            x = F.conv2d(x, weight, None, stride, weight.size(-1) // 2)
            return norm(f'{name}/norm', x).relu()
        weight = state[f'{name}/dw_conv3x3.weight']
        x = F.conv2d(x, weight, None, stride, 1, groups=len(weight))
        x = F.conv2d(x, state[f'{name}/pw_conv1x1.weight'])
        return norm(f'{name}/pw_norm', x).relu()

    def count(template):
        n = 0
        while any(name.startswith(template.format(n + 1)) for name in state):
            n += 1
        return n

    for number, stride in ((1, 2), (2, 1), (3, 2)):
        x = conv(f'stem.stem_{number}', x, stride)
    outputs = []
    for i in range(2, 6):
        if i > 2:
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        for k in range(1, 1 + count(f'stage{i}.OSA{i}_{{}}.')):
            short = f'OSA{i}_{k}'
            name, given, features = f'stage{i}.{short}', x, [x]
            reduction = f'{name}.conv_reduction.{short}_reduction_0'
            if f'{reduction}/conv.weight' in state:
                x = conv(reduction, x)
            for n in range(1 + count(f'{name}.layers.{{}}.')):
                x = conv(f'{name}.layers.{n}.{short}_{n}', x)
                features.append(x)
            x = conv(f'{name}.concat.{short}_concat', torch.cat(features, 1))
            if f'{name}.ese.fc.weight' in state:
                mean = x.mean((2, 3), keepdim=True)
                weight = state[f'{name}.ese.fc.weight']
                gate = F.conv2d(mean, weight, state[f'{name}.ese.fc.bias'])
                x = x * F.relu6(gate + 3) / 6
            if k > 1:
                x = x + given
        outputs.append(x)
    return outputs


def assert_close(outputs, expected, tolerance):
    """Compare feature maps, relative to the largest value of each."""
    assert len(outputs) == len(expected)
    for ours, theirs in zip(outputs, expected, strict=True):
        theirs = torch.as_tensor(theirs)
        scale = theirs.abs().max()
        assert scale > 0
        assert (ours - theirs).abs().max() <= tolerance * scale
