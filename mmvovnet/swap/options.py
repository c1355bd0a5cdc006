"""The options of a VoVNet that takes another backbone's place."""

import inspect
import math
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mmvovnet.models.archs import ARCHS, resolve_arch
from mmvovnet.tasks import Path, dicts, dotted
from mmvovnet.weights.dialects import Pixels
from mmvovnet.weights.public import default_weights, find

from .changes import SwapError, one_line, type_name

# Options that mean the same in ResNet and in VoVNet, and VoVNet's defaults.
_SHARED = dict(
    in_channels=3,
    frozen_stages=-1,
    norm_eval=False,
    with_cp=False,
    drop_path_rate=0,
)
_SIZE = 224  # Swin takes no 128


class Maps(NamedTuple):
    """What a backbone puts out, and its options that a config leaves out."""

    channels: list[int]
    strides: list[int]
    defaults: dict[str, Any]


class Start(NamedTuple):
    """What a backbone starts from."""

    options: dict[str, Any]  # of the VoVNet that the weights belong to
    init_cfg: dict | None  # None for random weights
    pixels: Pixels | None  # that the weights expect, None if not known


def find_backbones(cfg: Config) -> list[Path]:
    """Find the backbones of a config's model, the one to swap first."""
    found = {
        path: type_name(node)
        for path, node in dicts(cfg.model, ('model',))
        if str(path[-1]).endswith(('backbone', 'backbone_cfg'))
        if 'type' in node and 'backbone_cfg' not in node
    }
    if not found:
        raise SwapError('the model has no backbone')
    for path, name in found.items():
        if 'neck' in path:
            raise SwapError(
                f'{dotted(path)} ({name}): the neck feeds its maps back into '
                'the stages of this backbone, which VoVNet cannot take'
            )
    # A student's `backbone` goes before its `teacher_backbone`.
    return sorted(
        found, key=lambda p: ('Res' not in found[p], len(p), len(str(p[-1])))
    )


def measure(backbone: dict) -> Maps:
    """Measure what a backbone puts out, without its weights."""
    name = type_name(backbone)
    skipped = ('init_cfg', 'pretrained', 'with_cp')
    cfg = {k: v for k, v in backbone.items() if k not in skipped}
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
    defaults = {
        key: value.default
        for base in reversed(type(net).__mro__)
        if '__init__' in vars(base)
        for key, value in inspect.signature(base).parameters.items()
        if value.default is not value.empty
    }
    strides = [_SIZE // x.size(3) for x in maps]
    return Maps([x.size(1) for x in maps], strides, defaults)


def start_from(arch: str, weights: str | None, wanted: bool) -> Start:
    """Choose weights; ``wanted`` says that the config started from some."""
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
    row = find(weights)
    if isinstance(row, str):
        return Start({}, dict(type='Pretrained', checkpoint=weights), None)
    if resolve_arch(row.options['arch']) != resolve_arch(arch):
        raise SwapError(
            f'the weights {row.name!r} are of {row.options["arch"]}, not of '
            f'{arch!r}'
        )
    # As in configs/_base_/backbones: gates that the weights lack start open.
    skipped = ('arch', 'gate_place')
    options = {k: v for k, v in row.options.items() if k not in skipped}
    init_cfg = dict(type='Pretrained', checkpoint=f'vovnet://{row.name}')
    return Start(options, init_cfg, row.pixels)


def translate(
    backbone: dict, maps: Maps, arch: str, start: Start
) -> tuple[dict[str, Any], dict[str, str]]:
    """Carry a backbone's options over to VoVNet by their meaning.

    Returns the VoVNet's config, and remarks on options that change theirs.
    """
    said = {**maps.defaults, **backbone}
    remarks: dict[str, str] = {}
    new: dict[str, Any] = dict(type='mmvovnet.VoVNet', arch=arch)
    new |= start.options
    new['out_indices'], strides, dilations = _stages(backbone, said, maps)
    if strides != (1, 2, 2, 2):
        # The paper's stem, of stride 2, has a pool in front of the first
        # stage too.
        pooled = math.prod(new.get('stem_strides', (4,))) == 2
        new['strides'] = (strides[0] * (2 if pooled else 1), *strides[1:])
    if dilations != (1, 1, 1, 1):
        new['dilations'] = dilations
    for key, default in _SHARED.items():
        if key in said and said[key] != default:
            new[key] = said[key]
    if said.get('dcn') and any(said.get('stage_with_dcn') or ()):
        dcn = dict(said['dcn'])
        dcn.pop('fallback_on_stride', None)
        if 'deformable_groups' in dcn:
            dcn['deform_groups'] = dcn.pop('deformable_groups')
        new |= dict(
            dcn=dcn, stage_with_dcn=_four(said, 'stage_with_dcn', (False,) * 4)
        )
    new |= _norm(said, arch, start, remarks)
    if start.init_cfg:
        return new | dict(init_cfg=start.init_cfg), remarks
    for key in ('frozen_stages', 'norm_eval'):
        if new.pop(key, False) not in (False, -1):
            remarks[key] = 'off: random weights must train'
    if new.get('norm_cfg', {}).get('requires_grad') is False:
        new['norm_cfg']['requires_grad'] = True
        remarks['norm_cfg'] = 'trains: random weights must'
    return new, remarks


def _stages(
    backbone: dict, said: dict, maps: Maps
) -> tuple[tuple, tuple, tuple]:
    """Stages that have such maps, and the strides and dilations of all."""
    name, found = type_name(backbone), maps.strides
    strides, dilations = (1, 2, 2, 2), (1, 1, 1, 1)
    stages = [int(math.log2(stride)) - 2 for stride in found]
    if 'Res' in name and 'out_indices' in said and 'strides' in said:
        strides = _four(said, 'strides', strides)
        dilations = _four(said, 'dilations', dilations)
        stages = said['out_indices']
        stages = [stages] if type(stages) is int else list(stages)
        stages = [i % said.get('num_stages', 4) for i in stages]
    elif found in ([4, 8, 16, 16], [4, 8, 8, 8]):  # as dilated networks have
        stages = [0, 1, 2, 3]
        strides = (1, 2, found[2] // 8, found[3] // found[2])
        dilations = (1, 1, 16 // found[2], 32 // found[3])
    known = {*stages} <= {*range(4)}
    if not (known and len(found) == len(stages) == len({*stages})):
        raise SwapError(
            f'{name} puts out maps of strides {found}, and VoVNet of 4, 8, '
            '16 and 32'
        )
    return tuple(stages), strides, dilations


def _four(said: dict, key: str, rest: tuple) -> tuple:
    """Values of four stages, where the last may not be built."""
    values = said.get(key)
    if not isinstance(values, list | tuple) or len(values) > 4:
        return rest
    return (*values, *rest[len(values) :])


def _norm(
    said: dict, arch: str, start: Start, remarks: dict[str, str]
) -> dict[str, Any]:
    """The norm, of a kind that the weights have."""
    norm = {
        k: v
        for k, v in (said.get('norm_cfg') or {'type': 'BN'}).items()
        if k in ('type', 'requires_grad', 'num_groups')
    }
    kind = type_name(norm)  # a class in a config of the new style
    kind = dict(BatchNorm2d='BN', SyncBatchNorm='SyncBN').get(kind, kind)
    norm['type'] = kind
    if 'BN' not in kind and start.init_cfg:
        remarks['norm_eval'] = f'{kind} before; the statistics of BN stay'
        return dict(norm_eval=True)
    if 'BN' not in kind and kind != 'GN':
        return {}
    if kind == 'GN':
        row = ARCHS[arch]
        stem, conv, out = ('stem_channels', 'conv_channels', 'out_channels')
        widths = (*row[stem], *row[conv], *row[out])
        norm['num_groups'] = math.gcd(norm['num_groups'], *widths)
    if not start.init_cfg and said.get('conv_cfg'):
        return dict(norm_cfg=norm, conv_cfg=dict(said['conv_cfg']))
    if norm in (dict(type='BN'), dict(type='BN', requires_grad=True)):
        return {}
    return dict(norm_cfg=norm)
