"""The swap itself."""

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmvovnet.models.archs import ARCHS
from mmvovnet.tasks import Path, dicts, library
from mmvovnet.weights.dialects import Pixels

from . import toy
from .backbone import find_backbones, levels_of, start_from, translate
from .changes import Change, SwapError, dotted, get, one_line, type_name
from .channels import ChannelMismatch, obvious, parts, repair, watched

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
    """A config with another backbone.

    Attributes:
        cfg (Config): The config as it is now.
        place (Path): Where its backbone is.
        changes (list[Change]): What was changed.
        remarks (dict[str, str]): Options of the backbone that changed their
            value or were dropped, and why.
        left (list[str]): What was left alone, and why.
        step (Step | None): The step that was taken.
    """

    cfg: Config
    place: Path
    changes: list[Change] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    step: Step | None = None

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
        for i, before in enumerate(self.changes):
            if before.path == path:  # keep what was there at first
                self.changes[i] = Change(path, before.old, new, why)
                return
        self.changes.append(Change(path, old, new, why))


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


@toy.silence()
def plan_swap(
    cfg: Config,
    arch: str,
    weights: str | None = None,
    with_step: bool = False,
) -> Swap:
    """Swap as :func:`swap_backbone` does, and record what changes and why.

    ``with_step`` also takes a step of training on two toy images.

    Raises:
        SwapError: As there.
    """
    if not isinstance(cfg.get('model'), dict):
        raise SwapError("the config has no 'model'")
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    original, cfg = cfg, deepcopy(cfg)
    place, *others = find_backbones(cfg.model)
    backbone = get(cfg.model, place)
    if 'VoVNet' in type_name(backbone):
        raise SwapError('its backbone is VoVNet already')
    levels = levels_of(backbone)
    loaded = [*_weights(cfg, ('model', *place))]
    wanted = bool(loaded) or backbone.get('frozen_stages', -1) >= 0
    start = start_from(arch, weights, wanted)
    new, remarks = translate(backbone, levels, arch, start)
    left = [
        f'{dotted(("model", *other))}: a second backbone '
        f'({type_name(get(cfg.model, other))}), which keeps its weights and '
        'gets the pixels of the first'
        for other in others
    ]
    swap = Swap(cfg, ('model', *place), remarks=remarks, left=left)
    swap.change(swap.place, new)
    for path in loaded:
        if path[:-1] != swap.place:
            why = 'weights of a model with the old backbone'
            swap.change(path, None, why)
    _set_pixels(swap, start.pixels)
    _set_runtime(swap)
    _rename_layers(swap)
    stages = ARCHS[arch]['out_channels']
    channels = [stages[i] for i in new['out_indices']]
    before = [level.channels for level in levels]
    for change in [*obvious(cfg.model, place, before, channels)]:
        if not any(_is_of(other, change.path) for other in others):
            swap.change(('model', *change.path), change.new)
    _prove(swap, original, with_step)
    after = levels_of({k: v for k, v in new.items() if k != 'init_cfg'})
    was, now = ([level.stride for level in x] for x in (levels, after))
    if was != now:
        swap.left.append(
            f'the maps have strides {now}, and had {was}: give it images of '
            'another size, or anchors of another'
        )
    return swap


def _is_of(backbone: Path, path: Path) -> bool:
    """Whether a part of the model is of a second backbone, by its name.

    ``teacher_neck`` is of ``teacher_backbone``, and ``reid.head`` of
    ``reid.backbone``.
    """
    *parent, name = backbone
    prefix = dotted((*parent, str(name).partition('backbone')[0]))
    return prefix != '' and dotted(path).startswith(prefix)


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
        init = node.get('init_cfg')
        entries = init if isinstance(init, list) else [init]
        if any('Pretrained' in type_name(entry) for entry in entries):
            yield (*part, 'init_cfg')


def _set_pixels(swap: Swap, pixels: Pixels | None) -> None:
    """Give the weights the images that they expect."""
    if pixels is None:
        swap.left.append(
            'the pixels: random weights take any'
            if get(swap.cfg, swap.place).get('init_cfg') is None
            else 'the pixels: which the weights expect is not known; '
            '`python tools/check_checkpoint.py` compares'
        )
        return
    holders = [
        path
        for path, node in dicts(swap.cfg.model, ('model',))
        if path[-1] == 'data_preprocessor' and node.get('mean')
    ]
    if not holders and (swap.cfg.get('data_preprocessor') or {}).get('mean'):
        holders = [('data_preprocessor',)]
    if not holders:
        swap.left.append(
            f'the pixels: no data_preprocessor sets them; give it {pixels}'
        )
    for path in holders:
        node = get(swap.cfg, path)
        if len(node['mean']) != 3:
            swap.left.append(f'{dotted(path)}: it has no 3 channels')
            continue
        short = 'to_rgb' in node or library(swap.cfg) == 'mmpretrain'
        wanted: dict[str, Any] = dict(
            mean=[*pixels.mean], std=[*pixels.std], rgb_to_bgr=False
        )
        wanted['to_rgb' if short else 'bgr_to_rgb'] = pixels.order == 'RGB'
        for key, value in wanted.items():
            is_list = isinstance(value, list)
            old = [*node.get(key, ())] if is_list else bool(node.get(key))
            if old != value:
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
    for path, node in [*dicts(wrapper)]:
        keys = node.get('custom_keys')
        if isinstance(keys, dict):
            renamed = {
                _LAYER.sub(ours, key) if 'backbone' in key else key: value
                for key, value in keys.items()
            }
            if list(renamed) != list(keys):
                place = ('optim_wrapper', *path, 'custom_keys')
                swap.change(place, renamed)


def _prove(swap: Swap, original: Config, with_step: bool) -> None:
    """Run the model, and repair the channels that do not fit."""
    last = ''
    for _ in range(_MOST_REPAIRS):
        try:
            try:
                _run(swap, with_step)
            except ChannelMismatch:
                raise
            except Exception as error:
                _blame(swap, original, error)
            return
        except ChannelMismatch as mismatch:
            change = repair(swap.cfg.model, mismatch)
            if change is None:
                part = ('model', *parts(swap.cfg.model, mismatch.name)[0])
                kind = type_name(get(swap.cfg, part))
                reason = (
                    'it is a stage of ResNet, and takes maps of ResNet only'
                    if 'Res' in kind
                    else f'{mismatch}, and no number in the config sets them'
                )
                raise SwapError(f'{dotted(part)} ({kind}): {reason}') from None
            swap.change(('model', *change.path), change.new)
            last = f'{dotted(change.path)} is {change.old} or {change.new}'
    raise SwapError(f'no numbers of channels fit it, whether {last}')


def _run(swap: Swap, with_step: bool = False) -> None:
    """Let two toy images through, as in training.

    Raises:
        ChannelMismatch: If shapes do not fit.
        ValueError: If a step is taken, the loss is not finite, or a weight of
            the backbone that trains gets no gradient.
    """
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
    data = toy.batch(swap.cfg, size)
    # Before the model runs, as a runner does: DDQ shares weights from then on.
    optimizer = toy.optimizer(swap.cfg, model) if with_step else None
    with watched(model), torch.set_grad_enabled(with_step):
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
    else:
        holder = get(original, swap.place[:-1])
        raise SwapError(
            f'{dotted(swap.place)}: {type_name(holder)} needs more of '
            f'its backbone than maps ({one_line(error)})'
            if isinstance(error, AttributeError)
            else f'the model does not work with it: {one_line(error)}'
        ) from error
    holder, name = get(swap.cfg, swap.place[:-1]), str(swap.place[-1])
    maps: Any = torch.rand(2, holder[name].get('in_channels', 3), 256, 256)
    ran = []
    for part in (name, name.replace('backbone', 'neck')):
        if not holder.get(part):
            continue
        try:
            net = nn.ModuleDict({part: MODELS.build(holder[part])}).eval()
            with watched(net), torch.no_grad():
                maps = net[part](maps)
        except ChannelMismatch:
            raise
        except Exception:  # it is said below how far it came
            break
        ran.append(part)
    swap.left.append(
        f'the model was not run, only its {" and ".join(ran)}: {reason}'
    )
