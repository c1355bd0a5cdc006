"""Between the names of other code and ours, in both directions.

By the names in a checkpoint, :func:`detect` finds their dialect and where the
backbone lies. The :class:`Adapter` that it gives renames.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .describe import describe
from .dialects import DIALECTS, NAMES, Dialect, Pairs
from .errors import CheckpointError

# A weight of every VoVNet, by which its backbone is found.
_ANCHOR = 'stages.0.blocks.0.aggregate.conv.weight'
_COMPILED = re.compile(r'(?<![^.])_orig_mod\.')
_FIELD = re.compile(r'{(\w+)(?:\*(\d+))?(?:\+(\d+))?}')
_WORDS = {'name': r'\w+', 'part': r'\w+', 'rest': '.+'}


def rename(name: str, pairs: Pairs, to_ours: bool) -> str | None:
    """Translate one name by templates; None if no pair fits."""
    for ours, other in pairs:
        source, target = (other, ours) if to_ours else (ours, other)
        fields = _read(source, name)
        if fields is not None:
            return _write(target, fields)
    return None


@cache
def _pattern(template: str) -> re.Pattern:
    parts = _FIELD.split(template)  # text, field, factor, offset, text...
    parts[::4] = map(re.escape, parts[::4])
    parts[1::4] = [f'({_WORDS.get(part, "[0-9]+")})' for part in parts[1::4]]
    return re.compile(''.join(p for i, p in enumerate(parts) if i % 4 < 2))


def _read(template: str, name: str) -> dict[str, Any] | None:
    match = _pattern(template).fullmatch(name)
    if match is None:
        return None
    fields: dict[str, Any] = {}
    written = zip(_FIELD.findall(template), match.groups(), strict=True)
    for (field, factor, offset), value in written:
        if field not in _WORDS:
            number = int(value) - int(offset or 0)
            value, rest = divmod(number, int(factor or 1))
            if rest or number < 0:
                return None
        if fields.setdefault(field, value) != value:
            return None
    return fields


def _write(template: str, fields: dict[str, Any]) -> str:
    def value(match: re.Match) -> str:
        field, factor, offset = match.groups()
        if field in _WORDS:
            return fields[field]
        return str(fields[field] * int(factor or 1) + int(offset or 0))

    return _FIELD.sub(value, template)


class Adapter(NamedTuple):
    """A dialect, and where the backbone lies in its names and in ours."""

    dialect: Dialect
    prefix: str  # of the backbone in the dialect's names
    our_prefix: str  # of the backbone in our names
    # Dialects that fit the names as well.
    others: tuple[Dialect, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the backbone is where the dialect's whole models have it."""
        return self.prefix == self.dialect.place

    def to_ours(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Weights in our names; those that have none are left out."""
        ours = {}
        for name, value in state.items():
            our_name = self.rename(name)
            if our_name is not None:
                if our_name != name or self.in_backbone(name):
                    value = as_tensor(name, value)
                    value = self._arrange(our_name, value, (), -1)
                ours[our_name] = value
        return ours

    def from_ours(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Our weights in the dialect's names, without those it lacks."""
        return {
            other: self._arrange(name, value, (1,), 1)
            for name, value in state.items()
            if (other := self.rename(name, to_ours=False)) is not None
        }

    def _arrange(
        self, our_name: str, value: Any, shape: tuple, shift: int
    ) -> Any:
        if any(_read(name, our_name) for name in self.dialect.vectors):
            return value.reshape(shape)
        if any(_read(name, our_name) for name in self.dialect.thing_first):
            return value.roll(shift, 0)
        return value

    def backbone(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """The backbone's weights, in our names and without its prefix."""
        named = ((self.in_backbone(name), name) for name in state)
        return {o: as_tensor(n, state[n]) for o, n in named if o is not None}

    def options(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the VoVNet, with what its code takes for granted."""
        options = describe(self.backbone(state))
        return options | self.dialect.hidden(options['gate'])

    def in_backbone(self, name: str, to_ours: bool = True) -> str | None:
        """The name of a weight within the backbone; None if it has none."""
        prefix = self.prefix if to_ours else self.our_prefix
        if not name.startswith(prefix):
            return None
        inner = name.removeprefix(prefix)
        return rename(inner, self.dialect.backbone, to_ours)

    def rename(self, name: str, to_ours: bool = True) -> str | None:
        """Our name of a weight, or the dialect's; None if it has none."""
        inner = self.in_backbone(name, to_ours)
        if inner is not None:
            return (self.our_prefix if to_ours else self.prefix) + inner
        if self.is_whole:
            return rename(name, self.dialect.heads, to_ours)
        # Of a model that this code does not know, the rest keeps its names.
        return name if self.prefix else None


def detect(names: Iterable[str], place: str = '') -> Adapter | None:
    """Find the backbone of a VoVNet and the dialect that names it, or None.

    ``place`` is the prefix of all of these names in a whole model. It tells
    codes apart that name a backbone alike. Several VoVNets are an error.
    """
    names = [name for name in names if isinstance(name, str)]
    found = []
    for dialect in DIALECTS:
        anchor = str(rename(_ANCHOR, dialect.backbone, to_ours=False))
        for name in names:
            prefix = name.removesuffix(anchor)
            if prefix != name and (not prefix or prefix.endswith('.')):
                found.append(Adapter(dialect, prefix, prefix))
    if not found:
        return None
    prefixes = sorted({adapter.prefix for adapter in found})
    if len(prefixes) > 1:
        raise CheckpointError(
            f'the checkpoint holds {len(prefixes)} VoVNets, under {prefixes}; '
            "name one of them: init_cfg=dict(type='Pretrained', "
            f'checkpoint=..., prefix={prefixes[0]!r})'
        )

    def score(adapter: Adapter) -> tuple[int, bool]:
        """How many names it knows, and whether the prefix is its own."""
        heads = adapter.dialect.heads if adapter.is_whole else ()
        number = sum(
            adapter.in_backbone(name) is not None
            or rename(name, heads, to_ours=True) is not None
            for name in names
        )
        home = adapter.dialect.place
        # A bare backbone is put under 'backbone.' when a file is read.
        homes = [home] if home else ['', 'backbone.']
        return number, place + adapter.prefix in homes

    scores = [score(adapter) for adapter in found]
    fits = zip(found, scores, strict=True)
    best, *others = [one for one, each in fits if each == max(scores)]
    dialect = best.dialect
    whole = dialect.place or any(
        rename(name, dialect.heads, to_ours=True) for name in names
    )
    if best.is_whole and whole:
        best = best._replace(our_prefix=dialect.our_place)
    return best._replace(others=tuple(other.dialect for other in others))


def target(to: str, our_prefix: str, names: Collection[str]) -> Adapter:
    """The adapter to a dialect: of its variants, what names most of ours."""
    adapters = [
        Adapter(
            dialect,
            dialect.place if our_prefix == dialect.our_place else our_prefix,
            our_prefix,
        )
        for dialect in DIALECTS
        if dialect.name == to
    ]
    if not adapters:
        raise ValueError(f'to must be one of {NAMES}, got {to!r}')
    return max(
        adapters,
        key=lambda one: sum(one.rename(n, False) is not None for n in names),
    )


def unwrap(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict in a checkpoint, without names of wrappers.

    ``_orig_mod.`` (torch.compile) goes at any depth, ``module.`` and
    ``model.`` where every name begins so. What is no dict is an error.
    """
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(
            f'the checkpoint is a {type(checkpoint).__name__} in place of a '
            'dict of weights'
        )
    inner = [checkpoint.get(key) for key in ('state_dict', 'model')]
    state = next((x for x in inner if isinstance(x, Mapping)), checkpoint)
    new = {n: _COMPILED.sub('', n) for n in state if isinstance(n, str)}
    for prefix in ('module.', 'model.') * 2:
        if all(name.startswith(prefix) for name in new.values()):
            new = {n: name.removeprefix(prefix) for n, name in new.items()}
    if all(n == name for n, name in new.items()):
        return state
    return {new.get(name, name): value for name, value in state.items()}


def as_tensor(name: str, value: Any) -> Tensor:
    """A weight as a tensor: of floating point numbers, unless a counter."""
    is_array = isinstance(value, np.ndarray | np.generic)
    if is_array and value.dtype.kind in 'fiu':
        value = torch.as_tensor(value)
    if not isinstance(value, Tensor) or not (
        value.is_floating_point() or name.endswith('num_batches_tracked')
    ):
        kind = getattr(value, 'dtype', type(value).__name__)
        raise CheckpointError(
            f'{name!r} holds {kind}, and weights are floating point numbers: '
            'the file is damaged or quantised. Fetch or save it again'
        )
    return value


def not_finite(weights: Mapping[str, Any]) -> list[str]:
    """Name the weights that hold NaN or infinity."""
    return [
        name
        for name, value in weights.items()
        if isinstance(value, Tensor)
        and value.is_floating_point()
        and not value.isfinite().all()
    ]


def summary(names: Iterable[str]) -> str:
    """Names in a message: more than four of one module become one."""
    words: list[str] = []
    modules = groupby(sorted(names), lambda name: name.split('.')[:2])
    for module, found in modules:
        group = list(found)
        many = f'{".".join(module)}.* ({len(group)} names)'
        words += group if len(group) <= 4 else [many]
    return ', '.join(words)
