"""The swap itself."""

import re
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmvovnet.models.archs import ARCHS
from mmvovnet.tasks import Path, dicts
from mmvovnet.weights.dialects import Pixels

from . import toy
from .backbone import find_backbone, levels_of, start_from, translate
from .changes import (
    Change,
    SwapError,
    apply,
    dotted,
    get,
    type_name,
)
from .channels import ChannelMismatch, obvious, parts, repair, watched

_MOST_REPAIRS = 20
# Sides of toy images; what fails at one is tried at the next. RoIs of small
# maps learn little, and a head's deformable convs need 3 pixels of each level.
_SIZES = (64, 256)
_DETECTION_SIZES = (128, 256, 512)


class Step(NamedTuple):
    """A step of training.

    Args:
        loss (float): Its loss.
        idle (list[str]): Parameters that train and got no gradient.
    """

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
        apply(self.cfg, Change(path, old, new))
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
    """As :func:`swap_backbone`, with what was changed and why.

    Args:
        cfg (Config): As there.
        arch (str): As there.
        weights (str | None): As there.
        with_step (bool): Whether the model takes a step of training on two
            toy images. Defaults to False, it only runs.

    Raises:
        SwapError: As there.
    """
    if not isinstance(cfg.get('model'), dict):
        raise SwapError("the config has no 'model'")
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    original, cfg = cfg, deepcopy(cfg)
    place = find_backbone(cfg.model)
    backbone = get(cfg.model, place)
    if 'VoVNet' in type_name(backbone):
        raise SwapError('its backbone is VoVNet already')
    levels = levels_of(backbone)
    start = start_from(arch, weights, _starts_from_weights(cfg, place))
    new, remarks = translate(backbone, levels, arch, start)
    swap = Swap(cfg, ('model', *place), remarks=remarks)

    swap.change(swap.place, new)
    _drop_weights(swap)
    _set_pixels(swap, start.pixels)
    _set_runtime(swap)
    _rename_layers(swap)
    stages = ARCHS[arch]['out_channels']
    channels = [stages[i] for i in new['out_indices']]
    before = [level.channels for level in levels]
    for change in [*obvious(cfg.model, place, before, channels)]:
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


def _starts_from_weights(cfg: Config, place: Path) -> bool:
    """Whether a config loads weights that its backbone gets."""
    if cfg.get('load_from'):
        return True
    backbone = get(cfg.model, place)
    if backbone.get('frozen_stages', -1) >= 0:
        return True
    parts = [get(cfg.model, place[:i]) for i in range(len(place) + 1)]
    return any(
        part.get('pretrained') or _is_pretrained(part.get('init_cfg'))
        for part in parts
        if isinstance(part, dict)
    )


def _is_pretrained(init_cfg: Any) -> bool:
    entries = init_cfg if isinstance(init_cfg, list) else [init_cfg]
    return any(type_name(entry).endswith('Pretrained') for entry in entries)


def _drop_weights(swap: Swap) -> None:
    """Drop weights of a model with the old backbone."""
    why = 'weights of a model with the old backbone'
    if swap.cfg.get('load_from'):
        swap.change(('load_from',), None, why)
    for i in range(1, len(swap.place)):
        part = swap.place[:i]
        node = get(swap.cfg, part)
        if not isinstance(node, dict):
            continue
        if node.get('pretrained'):
            swap.change((*part, 'pretrained'), None, why)
        if _is_pretrained(node.get('init_cfg')):
            swap.change((*part, 'init_cfg'), None, why)


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
    top = swap.cfg.get('data_preprocessor') or {}
    if not holders and top.get('mean'):
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
        to_rgb = 'to_rgb' if 'to_rgb' in node else 'bgr_to_rgb'
        if swap.cfg.get('default_scope') == 'mmpretrain':
            to_rgb = 'to_rgb'
        values = dict(mean=pixels.mean, std=pixels.std)
        for key, value in values.items():
            if [*node.get(key, ())] != [*value]:
                swap.change((*path, key), [*value], 'as the weights expect')
        is_rgb = pixels.order == 'RGB'
        if bool(node.get(to_rgb)) != is_rgb:
            swap.change((*path, to_rgb), is_rgb, 'as the weights expect')
        if node.get('rgb_to_bgr'):
            swap.change((*path, 'rgb_to_bgr'), False, 'as the weights expect')


def _set_runtime(swap: Swap) -> None:
    """Ask for the package and for its runner."""
    imports = (swap.cfg.get('custom_imports') or {}).get('imports', [])
    imports = [imports] if isinstance(imports, str) else list(imports)
    if 'mmvovnet.engine' not in imports:
        swap.change(
            ('custom_imports',),
            dict(
                imports=[*imports, 'mmvovnet.engine'],
                allow_failed_imports=False,
            ),
        )
    if 'runner_type' not in swap.cfg:
        swap.change(('runner_type',), 'mmvovnet.Runner')


_LAYER = re.compile(r'layer(\d)|(?:conv|bn|norm)1\b|stem\b')


def _rename_layers(swap: Swap) -> None:
    """Keep layer-wise rules of the optimizer at the layers they mean."""
    for path, node in [*dicts(swap.cfg.get('optim_wrapper') or {})]:
        keys = node.get('custom_keys')
        if not isinstance(keys, dict):
            continue
        renamed = {
            _LAYER.sub(
                lambda m: (
                    f'stages.{max(int(m[1]) - 1, 0)}' if m[1] else 'stem'
                ),
                key,
            )
            if 'backbone' in key
            else key: value
            for key, value in keys.items()
        }
        if list(renamed) != list(keys):
            swap.change(('optim_wrapper', *path, 'custom_keys'), renamed)


def _prove(swap: Swap, original: Config, with_step: bool) -> None:
    """Run the model, and repair the channels that do not fit."""
    last = ''
    for _ in range(_MOST_REPAIRS):
        try:
            _run_or_blame(swap, original, with_step)
            return
        except ChannelMismatch as mismatch:
            change = repair(swap.cfg.model, mismatch)
            if change is None:
                part = ('model', *parts(swap.cfg.model, mismatch.name)[0])
                raise SwapError(
                    f'{dotted(part)} ({type_name(get(swap.cfg, part))}): '
                    f'{mismatch}, and no number in the config says so'
                ) from None
            swap.change(('model', *change.path), change.new)
            last = f'{dotted(change.path)} is {change.old} or {change.new}'
    raise SwapError(f'no numbers of channels fit it, whether {last}')


def _run_or_blame(swap: Swap, original: Config, with_step: bool) -> None:
    try:
        _run(swap, with_step)
    except ChannelMismatch:
        raise
    except Exception as error:
        _blame(swap, original, error)


def _run(swap: Swap, with_step: bool = False) -> None:
    """Let two toy images through, as in training.

    Raises:
        ChannelMismatch: If shapes do not fit.
        ValueError: If a step is taken, the loss is not finite, or a weight of
            the backbone that trains gets no gradient.
    """
    scope = swap.cfg.get('default_scope')
    small = scope in ('mmseg', 'mmpretrain')
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
    with watched(model), torch.set_grad_enabled(with_step):
        loss = toy.losses(model, data)
    if not with_step:
        return
    if not torch.isfinite(loss):
        raise ValueError(f'the loss is {loss.item()}')
    idle = toy.step(swap.cfg, model, loss)
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
        reason = one_line(same)
    else:
        holder = get(original, swap.place[:-1])
        raise SwapError(
            f'{dotted(swap.place)}: {type_name(holder)} needs more of '
            f'its backbone than maps ({one_line(error)})'
            if isinstance(error, AttributeError)
            else f'the model does not work with it: {one_line(error)}'
        ) from error
    try:
        model = toy.build(swap.cfg, 256)
        model.eval()
        with watched(model), torch.no_grad():
            model.extract_feat(torch.rand(2, 3, 256, 256))
        swap.left.append(
            f'the head was not run: the original fails as well ({reason})'
        )
    except ChannelMismatch:
        raise
    except Exception:
        swap.left.append(
            f'the model was not run: the original fails as well ({reason})'
        )


def one_line(error: Exception) -> str:
    """An error in a line."""
    text = ' '.join(str(error).split())
    return f'{type(error).__name__}: {text[:200]}'
