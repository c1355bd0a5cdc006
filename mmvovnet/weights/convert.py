"""Conversion of checkpoints between dialects, by names alone."""

import io
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from mmvovnet.fileio import write

from .dialects import DIALECTS, Dialect
from .errors import CheckpointError
from .loading import load
from .naming import fits, rename

# A weight of every VoVNet, by which its backbone is found.
_ANCHOR = 'stages.0.blocks.0.aggregate.conv.weight'
WRAPPERS = ('state_dict', 'model')  # where files keep the weights
_DATA_PARALLEL = ('module.', 'model.')  # what may precede every name
_COMPILED = re.compile(r'(?<![^.])_orig_mod\.')
NAMES = tuple(dict.fromkeys(dialect.name for dialect in DIALECTS))


class Translation(NamedTuple):
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

    def in_backbone(self, name: str) -> str | None:
        """Our name of a weight within the backbone; None if it has none."""
        if not name.startswith(self.prefix):
            return None
        inner = name.removeprefix(self.prefix)
        return rename(inner, self.dialect.backbone, to_ours=True)

    def to_ours(self, name: str) -> str | None:
        """Our name of a weight; None if it has none."""
        inner = self.in_backbone(name)
        if inner is not None:
            return self.our_prefix + inner
        return self._rename_head(name, to_ours=True)

    def from_ours(self, name: str) -> str | None:
        """The peer's name of a weight of ours; None if it has none."""
        if name.startswith(self.our_prefix):
            inner = name.removeprefix(self.our_prefix)
            theirs = rename(inner, self.dialect.backbone, to_ours=False)
            if theirs is not None:
                return self.prefix + theirs
        return self._rename_head(name, to_ours=False)

    def value_to_ours(self, our_name: str, value: Tensor) -> Tensor:
        """The value of a weight, as our model keeps it."""
        if fits(our_name, self.dialect.vectors):
            return value.reshape(())
        if fits(our_name, self.dialect.thing_first):
            return value.roll(-1, 0)
        return value

    def value_from_ours(self, our_name: str, value: Tensor) -> Tensor:
        """The value of a weight of ours, as the peer keeps it."""
        if fits(our_name, self.dialect.vectors):
            return value.reshape(1)
        if fits(our_name, self.dialect.thing_first):
            return value.roll(1, 0)
        return value

    def _rename_head(self, name: str, to_ours: bool) -> str | None:
        if self.is_whole:
            return rename(name, self.dialect.heads, to_ours)
        # Of a model that this code does not know, the rest keeps its names.
        return name if self.prefix else None


def convert(
    checkpoint: Mapping[str, Any], to: str = 'mmvovnet'
) -> dict[str, Tensor]:
    """Convert a checkpoint from any dialect to another.

    A bare backbone stays one. A whole model, or its heads alone, gets the
    names of mmpretrain's ``ImageClassifier`` or of mmdet's detectors, or those
    of their peers. What has no name there is left out, and the log says so.
    Of any other model, as PETR with its ``img_backbone``, the backbone is
    converted and everything else stays as it is.

    Args:
        checkpoint (Mapping): A state dict of tensors or numpy arrays, or a
            dict that holds one as 'state_dict' or 'model'.
        to (str): Name of a dialect in
            :data:`mmvovnet.weights.dialects.DIALECTS`. Defaults to
            'mmvovnet', ours.

    Returns:
        dict[str, Tensor]: A state dict, of the same values.

    Raises:
        CheckpointError: If the checkpoint holds no VoVNet, or one that the
            dialect cannot express.
        ValueError: If there is no such dialect.

    Example:
        >>> from mmvovnet import VoVNet
        >>> weights = VoVNet('V-27-slim').state_dict()
        >>> theirs = convert(weights, to='torchvision')
        >>> next(iter(theirs))
        'stem.stem_1/conv.weight'
        >>> convert(theirs).keys() == weights.keys()
        True
    """
    state = unwrap(checkpoint)
    source = find(state)
    if source is None:
        raise CheckpointError(
            f'no VoVNet in a checkpoint whose names begin {list(state)[:3]}; '
            f'known are the names of {", ".join(NAMES)}'
        )
    ours = {name: source.to_ours(name) for name in state}
    target = _target(to, source.our_prefix, [n for n in ours.values() if n])
    theirs = {
        name: our_name and target.from_ours(our_name)
        for name, our_name in ours.items()
    }
    unused = [name for name, their_name in theirs.items() if not their_name]
    lost = [name for name in unused if source.in_backbone(name)]
    if lost:
        raise CheckpointError(
            f'{to} has no such part as {summary(lost)}; choose one of the '
            f'other dialects: {", ".join(NAMES)}'
        )
    if unused:
        print_log(
            f'Left out, as {to} has no such part: {summary(unused)}',
            logger='current',
        )
    result = {}
    for name, their_name in theirs.items():
        if their_name == name and not source.in_backbone(name):
            result[name] = state[name]
        elif their_name:
            value = as_tensor(name, state[name])
            value = source.value_to_ours(ours[name], value)
            result[their_name] = target.value_from_ours(ours[name], value)
    return result


def convert_file(
    source: str | Path, target: str | Path, to: str = 'mmvovnet'
) -> list[Path]:
    """Convert a file: see :func:`convert`.

    Args:
        source (str | Path): A file that :func:`mmvovnet.weights.load`
            reads.
        target (str | Path): Where to write the state dict, all of it or
            nothing; the ending '.safetensors' chooses that format.
        to (str): Name of a dialect. Defaults to 'mmvovnet', ours.

    Returns:
        list[Path]: The file.

    Raises:
        CheckpointError: As of :func:`mmvovnet.weights.load`,
            :func:`convert`, and of :func:`.sound.check_sound`: a part of a
            network, or NaN, is not written.
    """
    from .sound import check_sound  # it needs the model

    checkpoint = load(source, 'cpu')
    ours = convert(checkpoint)
    check_sound(ours, find(ours).our_prefix)
    save_state(convert(checkpoint, to), target)
    return [Path(target)]


def save_state(state: Mapping[str, Tensor], target: str | Path) -> None:
    """Write a state dict, all of it or nothing.

    Args:
        state (Mapping): Tensors by name.
        target (str | Path): The file; the ending '.safetensors' chooses that
            format.
    """
    if Path(target).suffix == '.safetensors':
        import safetensors.torch

        # It refuses tensors that share memory; timm asks for the metadata.
        content = safetensors.torch.save(
            {
                name: value.clone(memory_format=torch.contiguous_format)
                for name, value in state.items()
            },
            metadata={'format': 'pt'},
        )
    else:
        file = io.BytesIO()
        torch.save(state, file)
        content = file.getvalue()
    write(target, content)


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
    for key in WRAPPERS:
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


def find(names: Iterable[str], place: str = '') -> Translation | None:
    """Find the backbone of a VoVNet, and the dialect that names it.

    Args:
        names (Iterable[str]): Names of weights.
        place (str): Prefix of all of these names in a whole model, which
            tells codes apart that name a backbone alike. Defaults to ''.

    Returns:
        Translation | None: None if there is no VoVNet.

    Raises:
        CheckpointError: If there are several.
    """
    names = [name for name in names if isinstance(name, str)]
    found = []
    for dialect in DIALECTS:
        anchor = rename(_ANCHOR, dialect.backbone, to_ours=False)
        for name in names:
            prefix = name.removesuffix(anchor)
            if prefix != name and (not prefix or prefix.endswith('.')):
                found.append(Translation(dialect, prefix, prefix))
    prefixes = sorted({translation.prefix for translation in found})
    if len(prefixes) > 1:
        raise CheckpointError(
            f'the checkpoint holds {len(prefixes)} VoVNets, under {prefixes}; '
            "name one of them: init_cfg=dict(type='Pretrained', "
            f'checkpoint=..., prefix={prefixes[0]!r})'
        )
    if not found:
        return _find_heads(names) if names else None

    def known(translation: Translation) -> tuple[int, bool]:
        dialect, prefix = translation.dialect, translation.prefix
        heads = dialect.heads if translation.is_whole else ()
        number = sum(
            translation.in_backbone(name) is not None
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


def _find_heads(names: list[str]) -> Translation | None:
    """The dialect of a file that holds nothing but heads."""
    for dialect in DIALECTS:
        told = dialect.place and ('{rest}', '{rest}') not in dialect.heads
        if told and all(rename(n, dialect.heads, to_ours=True) for n in names):
            return Translation(dialect, dialect.place, dialect.our_place)
    return None


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
    words = []
    for module, group in groupby(
        sorted(names), lambda name: '.'.join(name.split('.')[:2])
    ):
        group = list(group)
        few = len(group) <= 4
        words += group if few else [f'{module}.* ({len(group)} names)']
    return ', '.join(words)


def _target(to: str, our_prefix: str, names: list[str]) -> Translation:
    """Of the variants of a dialect, the one that names most of ours."""
    if to not in NAMES:
        raise ValueError(f'to must be one of {NAMES}, got {to!r}')
    variants = []
    for dialect in DIALECTS:
        if dialect.name == to:
            whole = our_prefix == dialect.our_place
            prefix = dialect.place if whole else our_prefix
            variants.append(Translation(dialect, prefix, our_prefix))
    return max(
        variants,
        key=lambda v: sum(v.from_ours(name) is not None for name in names),
    )
