"""Between the names of other code and ours, in both directions.

By the names in a checkpoint, :func:`detect` finds their dialect and where the
backbone lies. The :class:`Adapter` that it gives renames.
"""

import re
from collections.abc import Iterable, Mapping
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
_CONTAINERS = ('state_dict', 'model')  # where files keep the weights
_DATA_PARALLEL = ('module.', 'model.')  # what may precede every name
_COMPILED = re.compile(r'(?<![^.])_orig_mod\.')
_FIELD = re.compile(r'{(\w+)(?:\*(\d+))?(?:\+(\d+))?}')
_WORDS = {'name': r'\w+', 'part': r'\w+', 'rest': '.+'}


def rename(name: str, pairs: Pairs, to_ours: bool) -> str | None:
    """Translate one name by templates; None if no pair fits.

    Example:
        >>> pairs = (('blocks.{block}.{name}', 'OSA_{block+1}/{name}'),)
        >>> rename('OSA_3/weight', pairs, to_ours=True)
        'blocks.2.weight'
        >>> rename('blocks.2.weight', pairs, to_ours=False)
        'OSA_3/weight'
    """
    for ours, other in pairs:
        source, target = (other, ours) if to_ours else (ours, other)
        fields = _read(source, name)
        if fields is not None:
            return _write(target, fields)
    return None


def fits(name: str, templates: Iterable[str]) -> bool:
    """Whether one of the templates reads a name."""
    return any(_read(template, name) is not None for template in templates)


@cache
def _pattern(template: str) -> re.Pattern:
    pattern, seen = '', set()
    for i, part in enumerate(_FIELD.split(template)):
        field = part if i % 4 == 1 else ''  # text, field, factor, offset
        if i % 4 == 0:
            pattern += re.escape(part)
        elif field in seen:
            pattern += f'(?P={field})'
        elif field:
            pattern += f'(?P<{field}>{_WORDS.get(field, "[0-9]+")})'
            seen.add(field)
    return re.compile(pattern)


def _read(template: str, name: str) -> dict[str, Any] | None:
    match = _pattern(template).fullmatch(name)
    if match is None:
        return None
    fields: dict[str, Any] = match.groupdict()
    for field, factor, offset in _FIELD.findall(template):
        if field not in _WORDS:
            number = int(match[field]) - int(offset or 0)
            fields[field], rest = divmod(number, int(factor or 1))
            if rest or number < 0:
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
    # Dialects that name these weights alike, where the prefix is of none.
    others: tuple[Dialect, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the backbone is where the dialect's whole models have it."""
        return self.prefix == self.dialect.place

    def to_ours(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Weights in our names; those that have none are left out."""
        ours = {}
        for name, value in state.items():
            our_name = self.name_to_ours(name)
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
            if (other := self.name_from_ours(name)) is not None
        }

    def _arrange(
        self, our_name: str, value: Any, shape: tuple, shift: int
    ) -> Any:
        if fits(our_name, self.dialect.vectors):
            return value.reshape(shape)
        if fits(our_name, self.dialect.thing_first):
            return value.roll(shift, 0)
        return value

    def backbone(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """The backbone's weights, in our names and without its prefix."""
        named = ((self.in_backbone(name), name) for name in state)
        return {o: as_tensor(n, state[n]) for o, n in named if o is not None}

    def in_backbone(self, name: str) -> str | None:
        """Our name of a weight within the backbone; None if it has none."""
        if not name.startswith(self.prefix):
            return None
        inner = name.removeprefix(self.prefix)
        return rename(inner, self.dialect.backbone, to_ours=True)

    def name_to_ours(self, name: str) -> str | None:
        """Our name of a weight; None if it has none."""
        inner = self.in_backbone(name)
        if inner is not None:
            return self.our_prefix + inner
        return self._rename_head(name, to_ours=True)

    def name_from_ours(self, name: str) -> str | None:
        """The dialect's name of our weight; None if it has none."""
        if name.startswith(self.our_prefix):
            inner = name.removeprefix(self.our_prefix)
            other = rename(inner, self.dialect.backbone, to_ours=False)
            if other is not None:
                return self.prefix + other
        return self._rename_head(name, to_ours=False)

    def _rename_head(self, name: str, to_ours: bool) -> str | None:
        if self.is_whole:
            return rename(name, self.dialect.heads, to_ours)
        # Of a model that this code does not know, the rest keeps its names.
        return name if self.prefix else None


def detect(names: Iterable[str], place: str = '') -> Adapter | None:
    """Find the backbone of a VoVNet and the dialect that names it, or None.

    ``place`` is the prefix of all of these names in a whole model. It tells
    codes apart that name a backbone alike.

    Raises:
        CheckpointError: There are several.
    """
    names = [name for name in names if isinstance(name, str)]
    found = []
    for dialect in DIALECTS:
        anchor = str(rename(_ANCHOR, dialect.backbone, to_ours=False))
        for name in names:
            prefix = name.removesuffix(anchor)
            if prefix != name and (not prefix or prefix.endswith('.')):
                found.append(Adapter(dialect, prefix, prefix))
    prefixes = sorted({adapter.prefix for adapter in found})
    if len(prefixes) > 1:
        raise CheckpointError(
            f'the checkpoint holds {len(prefixes)} VoVNets, under {prefixes}; '
            "name one of them: init_cfg=dict(type='Pretrained', "
            f'checkpoint=..., prefix={prefixes[0]!r})'
        )
    if not found:
        return _detect_heads(names)

    def known(adapter: Adapter) -> tuple[int, bool]:
        heads = adapter.dialect.heads if adapter.is_whole else ()
        number = sum(
            adapter.in_backbone(name) is not None
            or rename(name, heads, to_ours=True) is not None
            for name in names
        )
        return number, _is_place(place + adapter.prefix, adapter.dialect)

    best = max(found, key=known)
    dialect = best.dialect
    if not _is_place(place + best.prefix, dialect):
        others = [t.dialect for t in found if known(t) == known(best)]
        best = best._replace(others=tuple(others[1:]))
    whole = dialect.place or any(
        rename(name, dialect.heads, to_ours=True) for name in names
    )
    if best.is_whole and whole:
        return best._replace(our_prefix=dialect.our_place)
    return best


def _is_place(prefix: str, dialect: Dialect) -> bool:
    # A bare backbone is put under 'backbone.' when a file is read.
    places = [dialect.place] if dialect.place else ['', 'backbone.']
    return prefix in places


def _detect_heads(names: list[str]) -> Adapter | None:
    """The dialect of a file that holds nothing but heads."""
    for dialect in DIALECTS if names else ():
        heads = dialect.heads if dialect.place else ()
        if ('{rest}', '{rest}') not in heads and all(
            rename(name, heads, to_ours=True) for name in names
        ):
            return Adapter(dialect, dialect.place, dialect.our_place)
    return None


def target(to: str, our_prefix: str, names: Iterable[str]) -> Adapter:
    """The adapter to a dialect: of its variants, what names most of ours.

    Raises:
        ValueError: There is no such dialect.
    """
    if to not in NAMES:
        raise ValueError(f'to must be one of {NAMES}, got {to!r}')
    names = list(names)

    def adapter(dialect: Dialect) -> Adapter:
        whole = our_prefix == dialect.our_place
        return Adapter(
            dialect, dialect.place if whole else our_prefix, our_prefix
        )

    def count(variant: Adapter) -> int:
        return sum(variant.name_from_ours(n) is not None for n in names)

    return max((adapter(d) for d in DIALECTS if d.name == to), key=count)


class Backbone(NamedTuple):
    """The backbone in a checkpoint."""

    adapter: Adapter
    state: dict[str, Any]  # in the names of the checkpoint
    # By :func:`.describe.describe`, and what its code takes for granted.
    options: dict[str, Any]


def backbone(checkpoint: Mapping[str, Any]) -> Backbone | None:
    """The backbone in a checkpoint; None if it holds no VoVNet."""
    state = unwrap(checkpoint)
    adapter = detect(state)
    if adapter is None:
        return None
    options = describe(adapter.backbone(state))
    options |= adapter.dialect.hidden(options['gate'])
    own = {n: v for n, v in state.items() if adapter.in_backbone(n)}
    return Backbone(adapter, own, options)


def unwrap(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict in a checkpoint, without names of wrappers.

    ``_orig_mod.`` (torch.compile) goes at any depth, ``module.`` and
    ``model.`` where every name begins so.

    Example:
        >>> unwrap({'model': {'module.backbone._orig_mod.stem': 1}})
        {'backbone.stem': 1}
    """
    state = checkpoint
    for key in _CONTAINERS:
        if isinstance(checkpoint.get(key), Mapping):
            state = checkpoint[key]
            break
    names = [name for name in state if isinstance(name, str)]
    bare = [_COMPILED.sub('', name) for name in names]
    for prefix in _DATA_PARALLEL * 2:
        if all(name.startswith(prefix) for name in bare):
            bare = [name.removeprefix(prefix) for name in bare]
    if bare == names:
        return state
    new = dict(zip(names, bare, strict=True))
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
    """Names in a message: more than four of one module become one.

    Example:
        >>> summary(['fc', *(f'stem.0.{part}' for part in 'abcde')])
        'fc, stem.0.* (5 names)'
    """
    words: list[str] = []
    for module, found in groupby(
        sorted(names), lambda name: '.'.join(name.split('.')[:2])
    ):
        group = list(found)
        few = len(group) <= 4
        words += group if few else [f'{module}.* ({len(group)} names)']
    return ', '.join(words)
