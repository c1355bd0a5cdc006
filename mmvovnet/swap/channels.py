"""Which numbers of a config are channels of the backbone's maps.

A number does not say where it comes from, so a model of the config is built
and run. The first layer that gets other channels than it was built for shows
which number is meant.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmvovnet.tasks import Path, dicts

from .changes import Change, get

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


@contextmanager
def watched(model: nn.Module) -> Iterator[None]:
    """Raise :class:`ChannelMismatch` where shapes do not fit."""

    def check(name: str, built_for: int, dim: int) -> Any:
        def hook(module: nn.Module, inputs: tuple) -> None:
            if inputs and isinstance(inputs[0], Tensor):
                got = inputs[0].size(dim)
                if got != built_for:
                    raise ChannelMismatch(name, built_for, got)

        return hook

    handles = []
    for name, module in model.named_modules():
        # Deformable convs are no subclass of nn.Conv2d, but look like one.
        weight, channels = (
            getattr(module, key, None) for key in ('weight', 'in_channels')
        )
        if isinstance(module, nn.Linear):
            hook = check(name, module.in_features, -1)
        elif isinstance(module, _BatchNorm):
            hook = check(name, module.num_features, 1)
        elif isinstance(module, nn.GroupNorm):
            hook = check(name, module.num_channels, 1)
        elif isinstance(weight, Tensor) and type(channels) is int:
            hook = check(name, channels, 1 - weight.dim())
        else:
            continue
        handles.append(module.register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def obvious(
    model: dict, place: Path, old: list[int], new: list[int]
) -> Iterator[Change]:
    """Change what can be nothing else than channels of the maps.

    That is a list of the channels of several levels, a number whose
    ``in_index`` names the level, and the last level's if it is more than the
    512 that necks and heads use of their own.
    """
    for path, node in dicts(model):
        for key, value in node.items():
            if path == place or not str(key).endswith(_WORDS):
                continue
            if isinstance(value, list | tuple):
                step = -1 if list(value) == old[::-1] else 1  # YOLOv3
                first = _run_of(value[::step], old)
                if first is None:
                    continue
                levels = new[first : first + len(value)][::step]
                yield Change((*path, key), value, type(value)(levels))
                if 'spatial_channels' in node:
                    # BiSeNet joins the last of these to the first level, and
                    # has the second level's channels then.
                    *rest, last = node['spatial_channels']
                    fixed = (*rest, levels[1] - levels[0])
                    target = (*path, 'spatial_channels')
                    yield Change(target, (*rest, last), fixed)
            elif value in old:
                index: Any = node.get('in_index')
                if value == old[-1] and value > 512:
                    index = -1
                if index in range(-1, len(old)) and old[index] == value:
                    yield Change((*path, key), value, new[index])


def _run_of(values: list | tuple, old: list[int]) -> int | None:
    """Where a run of several levels, or of the last, begins."""
    if len(values) == 1 and values[0] == old[-1] and values[0] > 512:
        return len(old) - 1
    if len({*values}) > 1:
        for first in range(len(old) - len(values) + 1):
            if list(values) == old[first : first + len(values)]:
                return first
    return None


def repair(model: dict, mismatch: ChannelMismatch) -> Change | None:
    """Find the number that a layer was built by, None if there is none.

    It is in the part of the config that built the layer; the names of a
    model's parts are mostly those of the config. An inner part goes before
    an outer one, and ``in_channels`` before other words.
    """
    wrong, right = mismatch.built_for, mismatch.got

    def named(key: str, is_first: bool) -> bool:
        if is_first:
            return key.endswith(_WORDS)
        return 'out' not in key and any(word in key for word in _OTHER_WORDS)

    for part in parts(model, mismatch.name):
        for is_first in (True, False):
            for path, node in dicts(get(model, part), part):
                for key, value in node.items():
                    if not named(str(key), is_first):
                        continue
                    if value == wrong and type(value) is int:
                        return Change((*path, key), value, right)
                    if isinstance(value, list | tuple) and wrong in value:
                        fixed = [right if v == wrong else v for v in value]
                        return Change((*path, key), value, type(value)(fixed))
    return None


def parts(model: dict, name: str) -> list[Path]:
    """Parts of a config that may have built a layer, the inner ones first."""
    found: list[Path] = [()]
    for word in name.split('.'):
        part = (*found[-1], int(word) if word.isdigit() else word)
        if isinstance(get(model, part), dict | list | tuple):
            found.append(part)
        elif not isinstance(get(model, (*found[-1], 0)), dict):
            break
    return found[::-1]
