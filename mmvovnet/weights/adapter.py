"""Between the names of other code and ours, in both directions.

An :class:`Adapter` is made once for a checkpoint, by its names. Its two
functions are :meth:`~Adapter.to_ours` and :meth:`~Adapter.from_ours`.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .describe import describe
from .dialects import DIALECTS, Dialect
from .errors import CheckpointError
from .naming import fits, rename

# A weight of every VoVNet, by which its backbone is found.
_ANCHOR = 'stages.0.blocks.0.aggregate.conv.weight'
_CONTAINERS = ('state_dict', 'model')  # where files keep the weights
_DATA_PARALLEL = ('module.', 'model.')  # what may precede every name
_COMPILED = re.compile(r'(?<![^.])_orig_mod\.')
NAMES = tuple(dict.fromkeys(dialect.name for dialect in DIALECTS))
OURS = DIALECTS[0]


class Adapter(NamedTuple):
    """A dialect, and where the backbone lies in its names and in ours.

    Args:
        dialect (Dialect): The dialect.
        prefix (str): Prefix of the backbone there.
        our_prefix (str): Prefix of the backbone in our names.
        others (tuple[Dialect]): Dialects that may be meant as well, as they
            name these weights alike and the prefix is of none.
    """

    dialect: Dialect
    prefix: str
    our_prefix: str
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
            if our_name is None:
                continue
            if our_name != name or self.in_backbone(name):
                value = as_tensor(name, value)
                if fits(our_name, self.dialect.vectors):
                    value = value.reshape(())
                elif fits(our_name, self.dialect.thing_first):
                    value = value.roll(-1, 0)
            ours[our_name] = value
        return ours

    def from_ours(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Weights of ours in the dialect's names, without those it lacks."""
        theirs = {}
        for name, value in state.items():
            their_name = self.name_from_ours(name)
            if their_name is None:
                continue
            if fits(name, self.dialect.vectors):
                value = value.reshape(1)
            elif fits(name, self.dialect.thing_first):
                value = value.roll(1, 0)
            theirs[their_name] = value
        return theirs

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
        """The dialect's name of a weight of ours; None if it has none."""
        if name.startswith(self.our_prefix):
            inner = name.removeprefix(self.our_prefix)
            theirs = rename(inner, self.dialect.backbone, to_ours=False)
            if theirs is not None:
                return self.prefix + theirs
        return self._rename_head(name, to_ours=False)

    def _rename_head(self, name: str, to_ours: bool) -> str | None:
        if self.is_whole:
            return rename(name, self.dialect.heads, to_ours)
        # Of a model that this code does not know, the rest keeps its names.
        return name if self.prefix else None


def detect(names: Iterable[str], place: str = '') -> Adapter | None:
    """Find the backbone of a VoVNet, and the dialect that names it.

    Args:
        names (Iterable[str]): Names of weights.
        place (str): Prefix of all of these names in a whole model, which
            tells codes apart that name a backbone alike. Defaults to ''.

    Returns:
        Adapter | None: None if there is no VoVNet.

    Raises:
        CheckpointError: If there are several.
    """
    names = [name for name in names if isinstance(name, str)]
    found = []
    for dialect in DIALECTS:
        anchor = rename(_ANCHOR, dialect.backbone, to_ours=False) or ''
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
        return _detect_heads(names) if names else None

    def known(adapter: Adapter) -> tuple[int, bool]:
        dialect, prefix = adapter.dialect, adapter.prefix
        heads = dialect.heads if adapter.is_whole else ()
        number = sum(
            adapter.in_backbone(name) is not None
            or rename(name, heads, to_ours=True) is not None
            for name in names
        )
        return number, _is_place(place + prefix, dialect)

    best = max(found, key=known)
    dialect, prefix = best.dialect, best.prefix
    if not _is_place(place + prefix, dialect):
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
    for dialect in DIALECTS:
        told = dialect.place and ('{rest}', '{rest}') not in dialect.heads
        if told and all(rename(n, dialect.heads, to_ours=True) for n in names):
            return Adapter(dialect, dialect.place, dialect.our_place)
    return None


def target(to: str, our_prefix: str, names: Iterable[str]) -> Adapter:
    """The adapter to a dialect: of its variants, what names most of ours.

    Args:
        to (str): Name of the dialect.
        our_prefix (str): Prefix of the backbone in our names.
        names (Iterable[str]): Our names.

    Raises:
        ValueError: If there is no such dialect.
    """
    if to not in NAMES:
        raise ValueError(f'to must be one of {NAMES}, got {to!r}')
    names, variants = list(names), []
    for dialect in DIALECTS:
        if dialect.name == to:
            whole = our_prefix == dialect.our_place
            prefix = dialect.place if whole else our_prefix
            variants.append(Adapter(dialect, prefix, our_prefix))
    return max(
        variants,
        key=lambda v: sum(
            v.name_from_ours(name) is not None for name in names
        ),
    )


class Backbone(NamedTuple):
    """The backbone in a checkpoint.

    Args:
        adapter (Adapter): Whose names it has there.
        state (dict): Its weights, in the names of the checkpoint.
        weights (dict[str, Tensor]): The same, in our names.
        options (dict): By :func:`.describe.describe`, and what its code takes
            for granted.
    """

    adapter: Adapter
    state: dict[str, Any]
    weights: dict[str, Tensor]
    options: dict[str, Any]


def backbone(checkpoint: Mapping[str, Any]) -> Backbone | None:
    """The backbone in a checkpoint; None if it holds no VoVNet."""
    state = unwrap(checkpoint)
    adapter = detect(state)
    if adapter is None:
        return None
    weights = adapter.backbone(state)
    options = describe(weights)
    options |= adapter.dialect.hidden(options['gate'])
    own = {n: v for n, v in state.items() if adapter.in_backbone(n)}
    return Backbone(adapter, own, weights, options)


def unwrap(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict in a checkpoint, without names of wrappers.

    ``_orig_mod.`` (torch.compile) goes at any depth, ``module.`` and
    ``model.`` where every name begins so. A ``module.`` further inside goes
    where a part of the model has no other, but not in mmengine's files, which
    hold the names of the model itself.

    Args:
        checkpoint (Mapping): A state dict, or a dict that holds one as
            'state_dict' or 'model'.

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
    meta = checkpoint.get('meta')
    if not (isinstance(meta, Mapping) and 'mmengine_version' in meta):
        bare = _without_inner_wrappers(bare)
    if bare == names:
        return state
    new = dict(zip(names, bare, strict=True))
    return {new.get(name, name): value for name, value in state.items()}


def _without_inner_wrappers(names: list[str]) -> list[str]:
    ordered = sorted(names)

    def below(part: str) -> int:
        # '/' comes next after '.'
        return bisect_left(ordered, part + '/') - bisect_left(
            ordered, part + '.'
        )

    parts = {n.partition('.module.')[0] for n in names if '.module.' in n}
    wrappers = {p for p in parts if below(p) == below(p + '.module')}
    return [
        name.replace('.module.', '.', 1)
        if name.partition('.module.')[0] in wrappers
        else name
        for name in names
    ]


def as_tensor(name: str, value: Any) -> Tensor:
    """A weight as a tensor.

    Args:
        name (str): Its name.
        value (Tensor | ndarray): Its value.

    Raises:
        CheckpointError: If it is no array of floating point numbers, as
            weights are, or of integers, as counters are.
    """
    if (
        isinstance(value, np.ndarray | np.generic)
        and value.dtype.kind in 'fiu'
    ):
        value = torch.as_tensor(value)
    counter = name.endswith('num_batches_tracked')
    if not isinstance(value, Tensor) or not (
        counter or value.is_floating_point()
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
    """Names for people: many of one module become one."""
    words: list[str] = []
    for module, found in groupby(
        sorted(names), lambda name: '.'.join(name.split('.')[:2])
    ):
        group = list(found)
        few = len(group) <= 4
        words += group if few else [f'{module}.* ({len(group)} names)']
    return ', '.join(words)
