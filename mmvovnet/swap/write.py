"""Config files that inherit from another and change what a swap changes."""

import os
import tempfile
import textwrap
from pathlib import Path as File
from typing import Any

from mmengine.config import Config

from mmvovnet.tasks import Path

from .changes import ABSENT, Change, SwapError, dotted, get, type_name
from .plan import Swap

_WIDTH = 79


def config_text(swap: Swap, base: str, command: str, lazy: bool) -> str:
    """Write a swap as a config file that inherits from another.

    Args:
        swap (Swap): What to write.
        base (str): What the file inherits from: for ``_base_``, or, in the
            new style, a module such as ``.retinanet``.
        command (str): What made it, for its first line.
        lazy (bool): Whether the base is of the new style.

    Returns:
        str: The file's text.
    """
    made = f'`{command}` wrote this. Comments give the old values.'
    head = ''.join(_comment(made, ''))
    tree = _tree(swap)
    if lazy:
        lines = [
            'from mmengine.config import read_base\n\n',
            f'with read_base():\n    from {base} import *  # noqa: F403\n\n',
        ]
        for change in swap.changes:
            leaf = get(tree, change.path)
            leaf.replaces = False  # it is set, not merged
            lines += _lines(f'{dotted(change.path)} = ', leaf, '', 0, '')
    else:
        lines = [f'_base_ = {base!r}\n']
        for key in sorted(tree, key=lambda key: isinstance(tree[key], dict)):
            node = tree[key]
            gap = ['\n'] if isinstance(node, dict) else []
            lines += gap + _lines(f'{key} = ', node, '', 0, '', (key,))
    return (head + ''.join(lines)).rstrip('\n') + '\n'


class _Leaf:
    """A value with the comments of its change."""

    def __init__(self, change: Change, remarks: dict[str, str]) -> None:
        old, self.value = change.old, change.new
        both = isinstance(old, dict) and isinstance(change.new, dict)
        self.replaces = both and not {*old} <= {*change.new}
        self.note = ''
        self.notes: dict[str, str] = {}
        self.dropped: list[str] = []
        if both:
            for key, value in change.new.items():
                before = old.get(key, ABSENT)
                if before is not ABSENT and not _same(before, value):
                    self.notes[key] = shown(before)
            if 'arch' in change.new and 'depth' in old:
                self.notes['arch'] = f'depth={old["depth"]}'
            for key, why in remarks.items():
                if key in change.new:
                    self.notes[key] = why
                else:
                    value = f'={shown(old[key])}' if key in old else ''
                    self.dropped.append(f'{key}{value}: {why}')
        elif old is not ABSENT:
            self.note = shown(old)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return list(a) == list(b)
    return a == b


def shown(value: Any) -> str:
    """Write a value in short, as in a config."""
    if isinstance(value, dict):
        if type_name(value) == 'Pretrained':
            return repr(value.get('checkpoint'))
        return _inline(value)
    return value.__name__ if isinstance(value, type) else repr(value)


def _tree(swap: Swap) -> dict:
    """Changes as nested dicts, whose integer keys are places in a list."""
    tree: dict = {}
    for change in swap.changes:
        node = tree
        for part in change.path[:-1]:
            node = node.setdefault(part, {})
        remarks = swap.remarks if change.path == swap.place else {}
        node[change.path[-1]] = _Leaf(change, remarks)
    return tree


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        if all(isinstance(k, str) and k.isidentifier() for k in value):
            inner = (f'{k}={_inline(v)}' for k, v in value.items())
            return f'dict({", ".join(inner)})'
        inner = (f'{k!r}: {_inline(v)}' for k, v in value.items())
        return f'{{{", ".join(inner)}}}'
    if isinstance(value, list):
        return f'[{", ".join(map(_inline, value))}]'
    if isinstance(value, tuple):
        return f'({", ".join(map(_inline, value))}{"," * (len(value) == 1)})'
    return value.__name__ if isinstance(value, type) else repr(value)


def _lines(
    start: str,
    value: Any,
    note: str,
    indent: int,
    end: str,
    place: Path = (),
) -> list[str]:
    """Lines of ``start value end`` and a comment."""
    replaces, notes, dropped = False, {}, []
    if isinstance(value, _Leaf):
        replaces, notes, dropped = value.replaces, value.notes, value.dropped
        value, note = value.value, value.note
    tab = ' ' * indent
    if isinstance(value, dict) and any(type(k) is int for k in value):
        return _list_lines(start, value, indent, end, place)
    parts = [*value.values()] if isinstance(value, dict) else []
    split = replaces or notes or dropped
    if not split and not any(isinstance(v, dict | _Leaf) for v in parts):
        one = f'{tab}{start}{_inline(value)}{end}'
        if note and len(f'{one}  # {note}') <= _WIDTH:
            return [f'{one}  # {note}\n']
        if len(one) <= _WIDTH or not parts:
            return [*_comment(note, tab), f'{one}\n']
    if not split and len(parts) == 1 and place:
        ((key, inner),) = value.items()
        inside = (f'{start}dict({key}=', inner, '', indent, f'){end}')
        short = _lines(*inside, (*place, key))
        if len(short) == 1:  # neck=dict(in_channels=512),  # 2048
            return short
    lines = [*_comment(note, tab), f'{tab}{start}dict(\n']
    if replaces:
        lines.append(f'{tab}    _delete_=True,\n')
    for key, inner in value.items():
        lines += _lines(
            f'{key}=',
            inner,
            notes.get(key, ''),
            indent + 4,
            ',',
            (*place, key),
        )
    for line in dropped:
        lines += _comment(line, f'{tab}    ')
    return [*lines, f'{tab}){end}\n']


def _comment(text: str, tab: str) -> list[str]:
    wrapped = textwrap.wrap(text, _WIDTH - len(tab) - 2)
    return [f'{tab}# {line}\n' for line in wrapped]


def _list_lines(
    start: str, value: dict, indent: int, end: str, place: Path
) -> list[str]:
    """A list that differs from the base's in some elements' entries."""
    tab = ' ' * indent
    name = f'_base_.{dotted(place)}'
    lines = [f'{tab}{start}[\n']
    done = 0
    for i in sorted(value):
        if i > done:
            lines.append(f'{tab}    *{name}[{done}:{i}],\n')
        lines += _element(value[i], indent + 4, (*place, i))
        done = i + 1
    lines.append(f'{tab}    *{name}[{done}:],\n')
    return [*lines, f'{tab}]{end}\n']


def _element(tree: Any, indent: int, place: Path) -> list[str]:
    """A dict of the base with some entries of its own."""
    tab = ' ' * indent
    if isinstance(tree, _Leaf):
        return _lines('', tree, '', indent, ',')
    name = f'_base_.{dotted(place)}'
    lines = [f'{tab}dict(\n', f'{tab}    {name},\n']
    for key, inner in tree.items():
        if isinstance(inner, dict) and not any(type(k) is int for k in inner):
            # A dict in an element of a list is replaced, not merged.
            (first, *rest) = _element(inner, indent + 4, (*place, key))
            lines += [first.replace('dict(', f'{key}=dict(', 1), *rest]
        else:
            lines += _lines(
                f'{key}=', inner, '', indent + 4, ',', (*place, key)
            )
    return [*lines, f'{tab}),\n']


def base_of(source: str, target: File, lazy: bool) -> str:
    """How a config file names the one that it inherits from.

    Args:
        source (str): A path, or a name such as ``mmdet::dino/...``.
        target (Path): The file that inherits.
        lazy (bool): Whether the base is of the new style.

    Raises:
        SwapError: If a file of the new style cannot be imported by name.
    """
    if '::' in source:
        return source
    path = os.path.relpath(File(source).resolve(), target.resolve().parent)
    path = path.replace(os.sep, '/')
    if not lazy:
        return path if path.startswith('.') else f'./{path}'
    parts = path.removesuffix('.py').split('/')
    ups = parts.count('..')
    names = parts[ups:]
    if not all(name.isidentifier() for name in names):
        raise SwapError(
            f'a config of the new style imports its base, and {path!r} is no '
            'name that Python imports: rename it, or use '
            'mmvovnet.swap.swap_backbone()'
        )
    return '.' * (ups + 1) + '.'.join(names)


def write_config(swap: Swap, text: str, target: File) -> None:
    """Write a config file whole, if what it says is what was proven.

    Args:
        swap (Swap): What the file must come to.
        text (str): Its text.
        target (Path): The file. It is replaced.

    Raises:
        SwapError: If the file reads otherwise.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp('.py', 'swap_', target.parent)
    trial = File(name)
    try:
        with os.fdopen(handle, 'w') as file:
            file.write(text)
        written = Config.fromfile(trial)
        for change in swap.changes:
            if not _same(get(written, change.path), change.new):
                raise SwapError(
                    f'the file would not set {dotted(change.path)}; use '
                    'mmvovnet.swap.swap_backbone()'
                )
        trial.chmod(0o666 & ~_umask())
        trial.replace(target)
    finally:
        trial.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
