"""The swap itself."""

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmvovnet.models.archs import ARCHS
from mmvovnet.tasks import ABSENT, Path, dicts, dotted, get, library, parts
from mmvovnet.weights.dialects import Pixels

from . import toy
from .changes import Change, SwapError, one_line, type_name
from .channels import ChannelMismatch, obvious, repair, watch
from .options import find_backbones, measure, start_from, translate

_MOST_REPAIRS = 20
# Sides of toy images; what fails at one is tried at the next. RoIs of small
# maps learn little, and a head's deformable convs need 3 pixels of each level.
_SIZES = (64, 256)
_DETECTION_SIZES = (128, 256, 512)


class Step(NamedTuple):
    """A step of training: its loss, and what trains but got no gradient."""

    loss: float
    idle: list[str]


@dataclass
class Swap:
    """A config with another backbone."""

    cfg: Config  # as it is now
    place: Path  # of its backbone
    # What was changed, and all options of the backbone.
    changes: dict[Path, Change] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)  # left alone, and why
    step: Step | None = None  # the step that was taken

    def change(self, path: Path, new: Any, why: str = '') -> None:
        """Set an entry of the config, unless it has that value."""
        old = get(self.cfg, path)
        if old == new:
            return
        *parents, last = path
        node: Any = self.cfg
        for part in parents:
            if isinstance(node, dict) and part not in node:
                node[part] = {}
            elif isinstance(node[part], tuple):  # to have its elements set
                node[part] = list(node[part])
            node = node[part]
        node[last] = deepcopy(new)
        first = self.changes.get(path, Change(old, new))
        self.changes[path] = Change(first.old, new, why)


def swap_backbone(
    cfg: Config, arch: str, weights: str | None = None
) -> Config:
    """Put VoVNet in the place of a config's backbone.

    Args:
        cfg (Config): A config of MMDetection, MMSegmentation, MMPretrain or
            MMDetection3D, of the old style or the new. It is not changed.
        arch (str): A key of ``VoVNet.arch_settings``.
        weights (str | None): What the backbone starts from: a name of
            docs/checkpoints.md, a file or a URL, or 'none' for random values
            with nothing frozen. Defaults to None, those that the configs of
            this package take if the config started from weights.

    Returns:
        Config: A copy with VoVNet, whose neck and heads fit it.

    Raises:
        SwapError: If the backbone cannot be swapped, with the reason.

    Example:
        >>> from mmengine.hub import get_config
        >>> name = 'mmpretrain::resnet/resnet50_8xb32_in1k.py'
        >>> cfg = swap_backbone(get_config(name), 'V-27-slim')
        >>> cfg.model.backbone.type, cfg.model.head.in_channels
        ('mmvovnet.VoVNet', 512)
    """
    return plan_swap(cfg, arch, weights).cfg


@torch.random.fork_rng(devices=[])  # the caller's random numbers stay
@toy.silence()
def plan_swap(
    cfg: Config,
    arch: str,
    weights: str | None = None,
    with_step: bool = False,
) -> Swap:
    """Swap as :func:`swap_backbone` does, and record what changes and why.

    ``with_step`` also takes a step of training on two toy images.
    """
    if not isinstance(cfg.get('model'), dict):
        raise SwapError("the config has no 'model'")
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    original, cfg = cfg, deepcopy(cfg)
    place, *others = find_backbones(cfg)
    backbone = get(cfg, place)
    if 'VoVNet' in type_name(backbone):
        raise SwapError('its backbone is VoVNet already')
    maps = measure(backbone)
    loaded = [*_weights(cfg, place)]
    wanted = bool(loaded) or backbone.get('frozen_stages', -1) >= 0
    start = start_from(arch, weights, wanted)
    new, remarks = translate(backbone, maps, arch, start)
    swap = Swap(cfg, place)
    swap.change(place, new)
    swap.changes = {
        (*place, key): Change(
            backbone.get(key, ABSENT),
            new.get(key, ABSENT),
            remarks.get(key, ''),
        )
        for key in {**new, **backbone}
        if key in new or backbone[key] not in (None, False)
    }
    swap.left += [
        f'{dotted(other)}: a second backbone ({type_name(get(cfg, other))}), '
        'which keeps its weights and gets the pixels of the first'
        for other in others
    ]
    for path in loaded:
        if path[:-1] != place:
            swap.change(path, None, 'weights of a model with the old backbone')
    _set_pixels(swap, start.pixels)
    _set_runtime(swap)
    _rename_layers(swap)
    stages = ARCHS[arch]['out_channels']
    channels = [stages[i] for i in new['out_indices']]
    for path, value in [*obvious(cfg, place, maps.channels, channels)]:
        if not any(_is_of(other, path) for other in others):
            swap.change(path, value)
    _prove(swap, original, with_step)
    now = measure(new).strides
    if now != maps.strides:
        swap.left.append(
            f'the maps have strides {now}, and had {maps.strides}: give it '
            'images of another size, or anchors of another'
        )
    return swap


def _is_of(backbone: Path, path: Path) -> bool:
    """Whether a part is of a backbone, as its teacher_neck or reid.head is."""
    *parent, name = backbone
    prefix = dotted((*parent, str(name).partition('backbone')[0]))
    return prefix != 'model.' and dotted(path).startswith(prefix)


def _weights(cfg: Config, place: Path) -> Iterator[Path]:
    """Entries that load weights into the backbone or what holds it."""
    if cfg.get('load_from'):
        yield ('load_from',)
    for i in range(1, len(place) + 1):
        part = place[:i]
        node = get(cfg, part)
        if not isinstance(node, dict):
            continue
        if node.get('pretrained'):
            yield (*part, 'pretrained')
        entries = dicts(node.get('init_cfg'))
        if any('Pretrained' in type_name(entry) for _, entry in entries):
            yield (*part, 'init_cfg')


def _set_pixels(swap: Swap, pixels: Pixels | None) -> None:
    """Give the weights the images that they expect."""
    if pixels is None:
        random = get(swap.cfg, (*swap.place, 'init_cfg')) is ABSENT
        swap.left.append(
            'the pixels: random weights take any'
            if random
            else 'the pixels: which the weights expect is not known; '
            '`python tools/check_checkpoint.py` compares'
        )
        return
    outer = swap.cfg.get('data_preprocessor') or {}
    inner = [
        (path, node)
        for path, node in dicts(swap.cfg.model, ('model',))
        if path[-1] == 'data_preprocessor'
    ]
    holders = [
        (path, node)
        for path, node in inner or [(('data_preprocessor',), outer)]
        if len(node.get('mean') or ()) == 3
    ]
    if not holders:
        swap.left.append(
            'the pixels: no data_preprocessor sets them for 3 channels; give '
            f'it {pixels}'
        )
    for path, node in holders:
        short = 'to_rgb' in node or library(swap.cfg) == 'mmpretrain'
        wanted = dict(mean=[*pixels.mean], std=[*pixels.std], rgb_to_bgr=False)
        wanted['to_rgb' if short else 'bgr_to_rgb'] = pixels.order == 'RGB'
        for key, value in wanted.items():
            old = node.get(key, False)  # not there means no
            if (list(old) if isinstance(old, tuple) else old) != value:
                swap.change((*path, key), value, 'as the weights expect')


def _set_runtime(swap: Swap) -> None:
    """Ask for the package and for its runner."""
    imports = (swap.cfg.get('custom_imports') or {}).get('imports', [])
    imports = [imports] if isinstance(imports, str) else list(imports)
    if 'mmvovnet.engine' not in imports:
        imports.append('mmvovnet.engine')
        new = dict(imports=imports, allow_failed_imports=False)
        swap.change(('custom_imports',), new)
    if 'runner_type' not in swap.cfg:
        swap.change(('runner_type',), 'mmvovnet.Runner')


_LAYER = re.compile(r'layer(\d)|(?:conv|bn|norm)1\b|stem\b')


def _rename_layers(swap: Swap) -> None:
    """Keep layer-wise rules of the optimizer at the layers they mean."""

    def ours(match: re.Match) -> str:
        stage = match[1] and max(int(match[1]) - 1, 0)
        return 'stem' if stage is None else f'stages.{stage}'

    wrapper = swap.cfg.get('optim_wrapper') or {}
    if 'LearningRateDecay' in str(wrapper.get('constructor')):
        why = 'it does not know the layers of VoVNet'
        default = 'DefaultOptimWrapperConstructor'
        swap.change(('optim_wrapper', 'constructor'), default, why)
        swap.change(('optim_wrapper', 'paramwise_cfg'), None, why)
    path = ('optim_wrapper', 'paramwise_cfg', 'custom_keys')
    keys = get(swap.cfg, path)
    if isinstance(keys, dict):
        renamed = {
            _LAYER.sub(ours, key) if 'backbone' in key else key: value
            for key, value in keys.items()
        }
        if list(renamed) != list(keys):
            swap.change(path, renamed)


def _prove(swap: Swap, original: Config, with_step: bool) -> None:
    """Run the model, and repair the channels that do not fit."""
    for _ in range(_MOST_REPAIRS):
        try:
            return _run(swap, with_step)
        except ChannelMismatch as mismatch:
            last, found = mismatch, repair(swap.cfg, mismatch)
        except Exception as error:
            return _blame(swap, original, error)
        if found is None:
            part = parts(swap.cfg, f'model.{last.name}')[0]
            kind = type_name(get(swap.cfg, part))
            reason = (
                'it is a stage of ResNet, and takes maps of ResNet only'
                if 'Res' in kind
                else f'{last}, and no number in the config sets them'
            )
            raise SwapError(f'{dotted(part)} ({kind}): {reason}')
        swap.change(*found)
    raise SwapError(f'no numbers of channels fit it: {last}')


def _run(swap: Swap, with_step: bool = False) -> None:
    """Let two toy images through, as in training."""
    small = library(swap.cfg) in ('mmseg', 'mmpretrain')
    errors = []
    for size in _SIZES if small else _DETECTION_SIZES:
        try:
            return _run_at(size, swap, with_step)
        except (ChannelMismatch, AttributeError):  # more pixels don't help
            raise
        except Exception as error:
            errors.append(error)
    raise errors[0]


def _run_at(size: int, swap: Swap, with_step: bool) -> None:
    torch.manual_seed(0)
    model = toy.build(swap.cfg, size)
    channels = get(swap.cfg, swap.place).get('in_channels', 3)
    data = toy.batch(swap.cfg, (channels, size, size))
    # Before the model runs, as a runner does: DDQ shares weights from then on.
    optimizer = toy.optimizer(swap.cfg, model) if with_step else None
    watch(model)
    with torch.set_grad_enabled(with_step):
        loss = toy.losses(model, data)
    if optimizer is None:
        return
    if not torch.isfinite(loss):
        raise ValueError(f'the loss is {loss.item()}')
    optimizer.backward(loss)
    idle = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    optimizer.step()
    prefix = dotted(swap.place[1:]) + '.'
    still = [name for name in idle if name.startswith(prefix)]
    if still:
        raise ValueError(f'{still[0]} gets no gradient')
    swap.step = Step(loss.item(), idle)


def _blame(swap: Swap, original: Config, error: Exception) -> None:
    """Refuse, unless the original fails at the same toy images."""
    try:
        _run(Swap(original, swap.place), with_step=True)
    except Exception as same:
        reason = f'the original fails as well ({one_line(same)})'
        swap.left.append(f'the model was not run: {reason}')
        return
    holder = type_name(get(original, swap.place[:-1]))
    raise SwapError(
        f'{dotted(swap.place)}: {holder} needs more of its backbone than maps '
        f'({one_line(error)})'
        if isinstance(error, AttributeError)
        else f'the model does not work with it: {one_line(error)}'
    ) from error
