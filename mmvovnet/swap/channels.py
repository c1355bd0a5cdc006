"""Which numbers of a config are channels of the backbone's maps.

A number does not say where it comes from, so a model of the config is built
and run. The first layer that gets other channels than it was built for shows
which number is meant.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

from mmvovnet.tasks import Path, dicts, get, parts

_WORDS = ('in_channels', 'context_channels')
_OTHER_WORDS = ('channel', 'dim', 'planes', 'feat', 'in_features')


class ChannelMismatch(Exception):
    """A layer of some name got other channels than it was built for."""

    def __init__(self, name: str, built_for: int, got: int) -> None:
        super().__init__(
            f"the layer '{name}' was built for {built_for} channels and gets "
            f'{got}'
        )
        self.name, self.built_for, self.got = name, built_for, got


def watch(model: nn.Module) -> None:
    """Let a model raise :class:`ChannelMismatch` where shapes do not fit."""
    for name, module in model.named_modules():
        weight = getattr(module, 'weight', None)
        if not isinstance(weight, Tensor):
            continue
        # Deformable convs are no subclass of nn.Conv2d, but look like one.
        for key, dim in (
            ('in_features', -1),
            ('num_features', 1),
            ('num_channels', 1),
            ('in_channels', 1 - weight.dim()),
        ):
            built_for = getattr(module, key, None)
            if type(built_for) is int:
                hook = partial(_compare, name, built_for, dim)
                module.register_forward_pre_hook(hook)


def _compare(
    name: str, built_for: int, dim: int, _: nn.Module, inputs: tuple
) -> None:
    if inputs and isinstance(inputs[0], Tensor):
        got = inputs[0].size(dim)
        if got != built_for:
            raise ChannelMismatch(name, built_for, got)


def obvious(
    cfg: Config, place: Path, old: list[int], new: list[int]
) -> Iterator[tuple[Path, Any]]:
    """Find what can be nothing else than channels of the maps, set anew.

    That is a list of the channels of several levels, a number whose
    ``in_index`` names the level, and the last level's if it is more than the
    512 that necks and heads use of their own.
    """
    for path, node in dicts(cfg.model, ('model',)):
        for key, value in node.items():
            if path == place or not str(key).endswith(_WORDS):
                continue
            many = isinstance(value, list | tuple)
            step = -1 if many and list(value) == old[::-1] else 1  # YOLOv3
            values = [*value][::step] if many else [value]
            for first in range(len(old) - len(values), -1, -1):
                levels = new[first : first + len(values)][::step]
                if not values or values != old[first : first + len(values)]:
                    continue
                index = None if many else node.get('in_index')
                sure = len({*values}) > 1 or values[0] == old[-1] > 512
                if sure or index in (first, first - len(old)):
                    fixed = type(value)(levels) if many else levels[0]
                    yield (*path, key), fixed
                    if 'spatial_channels' in node:
                        # BiSeNet joins the last of these to the first level,
                        # and has the second level's channels then.
                        *rest, _ = node['spatial_channels']
                        joined = (*rest, levels[1] - levels[0])
                        yield (*path, 'spatial_channels'), joined
                    break


def repair(cfg: Config, mismatch: ChannelMismatch) -> tuple[Path, Any] | None:
    """Find the number that a layer was built by, set right; None without one.

    It is in the part of the config that built the layer; the names of a
    model's parts are mostly those of the config. An inner part goes before
    an outer one, and ``in_channels`` before other words.
    """
    wrong, right = mismatch.built_for, mismatch.got
    for part in parts(cfg, f'model.{mismatch.name}')[:-1]:
        for words in (_WORDS, _OTHER_WORDS):
            for path, node in dicts(get(cfg, part), part):
                for key, value in node.items():
                    named = (
                        key.endswith(words)
                        if words is _WORDS
                        else 'out' not in key and any(w in key for w in words)
                    )
                    if named and value == wrong and type(value) is int:
                        return (*path, key), right
                    is_list = isinstance(value, list | tuple)
                    if named and is_list and wrong in value:
                        fixed = [right if v == wrong else v for v in value]
                        return (*path, key), type(value)(fixed)
    return None
