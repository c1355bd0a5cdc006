"""The options of a VoVNet that takes another backbone's place."""

import inspect
import math
from typing import Any, NamedTuple

import torch
from mmengine.registry import MODELS

from mmvovnet.models.archs import ARCHS, resolve_arch
from mmvovnet.tasks import Path, dicts
from mmvovnet.weights.dialects import Pixels
from mmvovnet.weights.public import (
    default_weights,
    public_files,
    published_pixels,
)

from .changes import SwapError, dotted, one_line, type_name

# Options that mean the same in ResNet and in VoVNet, and VoVNet's defaults.
_SHARED = dict(
    in_channels=3,
    frozen_stages=-1,
    norm_eval=False,
    with_cp=False,
    drop_path_rate=0,
)
_NO_COUNTERPART = {
    'style': 'where ResNet strides; VoVNet pools',
    'contract_dilation': "here a stage's pool and first conv have the "
    'dilation of the stage before and its own',
    'multi_grid': 'a stage has one dilation here',
    'conv_cfg': 'the weights are of plain convs',
}
# Options that are translated, and those that say which ResNet it is.
_KNOWN = (
    *('type', 'norm_cfg', 'dcn', 'stage_with_dcn', 'strides', 'dilations'),
    *('out_indices', 'init_cfg', 'depth', 'arch', 'num_stages'),
    *('base_channels', 'stem_channels', 'groups', 'base_width'),
    *('width_per_group', 'expansion', 'scales', 'radix', 'reduction_factor'),
    *('avg_down_stride', 'se_ratio', 'deep_stem', 'zero_init_residual'),
    *_SHARED,
)
_SIZE = 224  # Swin takes no 128


class Level(NamedTuple):
    """One map that a backbone puts out."""

    channels: int
    stride: int


class Start(NamedTuple):
    """What a backbone starts from.

    ``options`` are those of the VoVNet that the weights belong to,
    ``init_cfg`` is None for random weights, and ``pixels`` are the images
    that they expect, None if that is not known.
    """

    options: dict[str, Any]
    init_cfg: dict | None
    pixels: Pixels | None


def find_backbones(model: dict) -> list[Path]:
    """Find the backbones of a model's config, the one to swap first.

    Raises:
        SwapError: If there is none, or one gets the maps of another.
    """
    found = {
        path: type_name(node)
        for path, node in dicts(model)
        if path and str(path[-1]).endswith(('backbone', 'backbone_cfg'))
        if 'type' in node and 'backbone_cfg' not in node
    }
    if not found:
        raise SwapError('the model has no backbone')
    for path, name in found.items():
        if 'neck' in path:
            raise SwapError(
                f'{dotted(("model", *path))} ({name}): the neck feeds its '
                'maps back into the stages of this backbone, which VoVNet '
                'cannot take'
            )
    # A student's `backbone` goes before its `teacher_backbone`.
    return sorted(
        found, key=lambda p: ('Res' not in found[p], len(p), len(str(p[-1])))
    )


def _defaults(backbone: dict) -> dict[str, Any]:
    """What a backbone's class and its parents take without being told."""
    kind = backbone['type']
    with MODELS.switch_scope_and_registry(None) as registry:
        cls = registry.get(kind) if isinstance(kind, str) else kind
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if '__init__' in vars(base):
            for name, value in inspect.signature(base).parameters.items():
                if value.default is not value.empty:
                    found[name] = value.default
    return found


def levels_of(backbone: dict) -> list[Level]:
    """Measure what a backbone puts out, without its weights.

    Raises:
        SwapError: If it does not run here, or puts out other than maps.
    """
    name = type_name(backbone)
    if name.startswith('Sparse'):  # MMPretrain's SparK
        raise SwapError(f'{name} skips masked patches, which VoVNet cannot')
    cfg = {
        key: value
        for key, value in backbone.items()
        if key not in ('init_cfg', 'pretrained', 'with_cp')
    }
    image = torch.zeros(1, backbone.get('in_channels', 3), _SIZE, _SIZE)
    try:
        with torch.no_grad():
            net = MODELS.build(cfg)
            net.eval()  # ResNet's returns nothing
            maps = net(image)
    except Exception as error:
        raise SwapError(
            f'the original {name} does not run here: {one_line(error)}'
        ) from error
    maps = maps if isinstance(maps, list | tuple) else [maps]
    if any(getattr(x, 'ndim', 0) != 4 for x in maps):
        raise SwapError(f'{name} puts out vectors, and VoVNet maps')
    return [Level(x.size(1), _SIZE // x.size(3)) for x in maps]


def start_from(arch: str, weights: str | None, wanted: bool) -> Start:
    """Choose weights and the options that they ask for.

    Args:
        arch (str): A key of :data:`mmvovnet.models.archs.ARCHS`.
        weights (str | None): As of :func:`mmvovnet.swap.swap_backbone`.
        wanted (bool): Whether the config started from weights.

    Raises:
        SwapError: If there are none, or they are of another arch.
    """
    if arch not in ARCHS:
        raise SwapError(
            f'unknown arch {arch!r}; choose one of {", ".join(ARCHS)}'
        )
    if weights == 'none' or (weights is None and not wanted):
        return Start({}, None, None)
    if weights is None:
        default = default_weights(arch)
        if default is None:
            raise SwapError(
                f'the config starts from weights and none of {arch} can be '
                'had: name a file with --weights FILE, or start from random '
                'values with nothing frozen with --weights none'
            )
        weights = default.name
    name = weights.removeprefix('vovnet://')
    row = public_files().get(name)
    if row is None:
        return Start({}, dict(type='Pretrained', checkpoint=weights), None)
    # As in configs/_base_/backbones: gates that the weights lack start open.
    options = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in row.options.items()
        if key not in ('arch', 'gate_place')
    }
    if resolve_arch(row.options['arch']) != resolve_arch(arch):
        raise SwapError(
            f'the weights {name!r} are of {row.options["arch"]}, not of '
            f'{arch!r}'
        )
    checkpoint = f'vovnet://{name}'
    init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
    return Start(options, init_cfg, published_pixels(checkpoint)[0])


def translate(
    backbone: dict, levels: list[Level], arch: str, start: Start
) -> tuple[dict[str, Any], dict[str, str]]:
    """Carry a backbone's options over to VoVNet by their meaning.

    Returns:
        tuple[dict, dict]: The VoVNet's config, and a remark for each option
        that changes its value or is dropped.

    Raises:
        SwapError: If a stage of VoVNet has no such map.
    """
    said = {**_defaults(backbone), **backbone}
    remarks = {
        key: _NO_COUNTERPART.get(key, 'no counterpart')
        for key, value in backbone.items()
        if key not in _KNOWN and value not in (None, False)
    }
    if said.get('contract_dilation') is not True:
        remarks.pop('contract_dilation', None)
    new: dict[str, Any] = dict(type='mmvovnet.VoVNet', arch=arch)
    new |= start.options
    stages, strides, dilations = _stages(backbone, said, levels)
    new['out_indices'] = tuple(stages)
    if strides and strides != (1, 2, 2, 2):
        # The paper's stem, of stride 2, has a pool in front of the first
        # stage too.
        pooled = math.prod(new.get('stem_strides', (4,))) == 2
        new['strides'] = (strides[0] * (2 if pooled else 1), *strides[1:])
    if dilations and dilations != (1, 1, 1, 1):
        new['dilations'] = dilations
    for key, default in _SHARED.items():
        if key in said and said[key] != default:
            new[key] = said[key]
    new |= _deformable(said)
    new |= _norm(said, arch, start, remarks)
    if start.init_cfg is None:
        _thaw(new, remarks)
    else:
        new['init_cfg'] = start.init_cfg
    return new, remarks


def _stages(
    backbone: dict, said: dict, levels: list[Level]
) -> tuple[list[int], tuple | None, tuple | None]:
    """Stages that have such maps, and their strides and dilations."""
    name, found = type_name(backbone), [level.stride for level in levels]
    strides = dilations = None
    stages = [int(math.log2(stride)) - 2 for stride in found]
    if 'Res' in name and 'out_indices' in said and 'strides' in said:
        strides = _four(said['strides'], 2)
        dilations = _four(said.get('dilations'), 1)
        stages = said['out_indices']
        stages = [stages] if type(stages) is int else list(stages)
        stages = [i % said.get('num_stages', 4) for i in stages]
    elif found in ([4, 8, 16, 16], [4, 8, 8, 8]):  # as dilated networks have
        stages = [0, 1, 2, 3]
        strides = (1, 2, found[2] // 8, found[3] // found[2])
        dilations = (1, 1, 16 // found[2], 32 // found[3])
    if (
        len(stages) != len(levels)
        or len({*stages}) < len(stages)
        or not {*stages} <= {*range(4)}
    ):
        raise SwapError(
            f'{name} puts out maps of strides {found}, and VoVNet of 4, 8, '
            '16 and 32'
        )
    return stages, strides, dilations


def _four(values: Any, rest: int) -> tuple | None:
    """Values of four stages, where the last may not be built."""
    if not isinstance(values, list | tuple) or len(values) > 4:
        return None
    return (*values, *[rest] * (4 - len(values)))


def _deformable(said: dict) -> dict[str, Any]:
    stages = said.get('stage_with_dcn') or ()
    if not said.get('dcn') or not any(stages):
        return {}
    dcn = {k: v for k, v in said['dcn'].items() if k != 'fallback_on_stride'}
    if 'deformable_groups' in dcn:
        dcn['deform_groups'] = dcn.pop('deformable_groups')
    return dict(dcn=dcn, stage_with_dcn=_four(stages, False))


def _norm(
    said: dict, arch: str, start: Start, remarks: dict[str, str]
) -> dict[str, Any]:
    """The norm, of a kind that the weights have."""
    norm = {
        k: v
        for k, v in (said.get('norm_cfg') or {'type': 'BN'}).items()
        if k in ('type', 'requires_grad', 'num_groups')
    }
    kind = str(norm['type'])
    if 'BN' not in kind and start.init_cfg:
        remarks['norm_cfg'] = (
            f'{kind} before; the weights are of BN, whose statistics stay '
            'those of the weights'
        )
        return dict(norm_eval=True)
    if 'BN' not in kind and kind != 'GN':
        remarks['norm_cfg'] = f'{kind} before; VoVNet has BN'
        return {}
    if kind == 'GN':
        row = ARCHS[arch]
        widths = (
            row['stem_channels'] + row['conv_channels'] + row['out_channels']
        )
        norm['num_groups'] = math.gcd(norm['num_groups'], *widths)
    if not start.init_cfg and said.get('conv_cfg'):
        remarks.pop('conv_cfg', None)
        return dict(norm_cfg=norm, conv_cfg=dict(said['conv_cfg']))
    if norm in (dict(type='BN'), dict(type='BN', requires_grad=True)):
        return {}
    return dict(norm_cfg=norm)


def _thaw(new: dict, remarks: dict[str, str]) -> None:
    """Let everything train that starts from random values."""
    for key in ('frozen_stages', 'norm_eval'):
        if new.pop(key, False) not in (False, -1):
            remarks[key] = 'off: random weights must train'
    if new.get('norm_cfg', {}).get('requires_grad') is False:
        new['norm_cfg'] = dict(new['norm_cfg'], requires_grad=True)
        remarks['norm_cfg'] = 'trains: random weights must'
