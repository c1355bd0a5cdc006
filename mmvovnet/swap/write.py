"""Config files that inherit from another and change what a swap changes."""

import os
import re
import tempfile
import textwrap
from dataclasses import dataclass, field
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
    """
    made = f'`{command}` wrote this. Comments give the old values.'
    lines = _comment(made, '')
    if lazy:
        lines += [
            'from mmengine.config import read_base\n\n',
            f'with read_base():\n    from {base} import *  # noqa: F403\n\n',
        ]
        for change in swap.changes:
            leaf = _leaf(swap, change)
            leaf.replaces = False  # it is set, not merged
            lines += _lines(f'{dotted(change.path)} = ', leaf, 0, '', ())
    else:
        lines.append(f'_base_ = {base!r}\n')
        tree = _tree(swap)
        for key in sorted(tree, key=lambda key: isinstance(tree[key], dict)):
            lines += ['\n'] * isinstance(tree[key], dict)
            lines += _lines(f'{key} = ', tree[key], 0, '', (key,))
    return ''.join(lines).rstrip('\n') + '\n'


@dataclass
class _Leaf:
    """A value, with comments on itself, its entries and what is gone."""

    value: Any
    note: str = ''
    notes: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    replaces: bool = False


def _leaf(swap: Swap, change: Change) -> _Leaf:
    old, new = change.old, change.new
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return _Leaf(new, '' if old is ABSENT else shown(old))
    leaf = _Leaf(new, replaces=not {*old} <= {*new})
    for key in {*old} & {*new}:
        if not _same(old[key], new[key]):
            leaf.notes[key] = shown(old[key])
    if 'arch' in new and 'depth' in old:
        leaf.notes['arch'] = f'depth={old["depth"]}'
    remarks = swap.remarks if change.path == swap.place else {}
    for key, why in remarks.items():
        if key in new:
            leaf.notes[key] = why
        else:
            value = f'={shown(old[key])}' if key in old else ''
            leaf.dropped.append(f'{key}{value}: {why}')
    return leaf


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return list(a) == list(b)
    return a == b


def shown(value: Any) -> str:
    """Write a value in short, as in a config."""
    if type_name(value) == 'Pretrained':
        return repr(value.get('checkpoint'))
    return _inline(value)


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


def _tree(swap: Swap) -> dict:
    """Changes as nested dicts, whose integer keys are places in a list."""
    tree: dict = {}
    for change in swap.changes:
        node = tree
        for part in change.path[:-1]:
            node = node.setdefault(part, {})
        node[change.path[-1]] = _leaf(swap, change)
    return tree


def _comment(text: str, tab: str) -> list[str]:
    wrapped = textwrap.wrap(
        text,
        _WIDTH - len(tab) - 2,
        break_long_words=False,  # URLs stay whole
        break_on_hyphens=False,
    )
    return [f'{tab}# {line}\n' for line in wrapped]


def _lines(
    start: str, node: Any, indent: int, end: str, place: Path
) -> list[str]:
    """Lines of ``start node end`` and comments."""
    tab = ' ' * indent
    head, notes, dropped, entries = [f'{tab}{start}dict(\n'], {}, [], node
    if isinstance(node, _Leaf):
        notes, dropped, entries = node.notes, node.dropped, node.value
        if not (node.replaces or notes or dropped):
            one = f'{tab}{start}{_inline(entries)}{end}'
            if node.note and len(f'{one}  # {node.note}') <= _WIDTH:
                return [f'{one}  # {node.note}\n']
            if len(one) <= _WIDTH or not isinstance(entries, dict):
                return [*_comment(node.note, tab), f'{one}\n']
        head = [*_comment(node.note, tab), *head]
        if node.replaces:
            head.append(f'{tab}    _delete_=True,\n')
        entries = {k: _Leaf(v, notes.get(k, '')) for k, v in entries.items()}
    elif any(type(key) is int for key in node):
        return _list_lines(start, node, indent, end, place)
    elif len(node) == 1:
        ((key, inner),) = node.items()
        inside = f'{start}dict({key}='
        short = _lines(inside, inner, indent, f'){end}', (*place, key))
        if len(short) == 1:  # neck=dict(in_channels=512),  # 2048
            return short
    for key, inner in entries.items():
        head += _lines(f'{key}=', inner, indent + 4, ',', (*place, key))
    for line in dropped:
        head += _comment(line, f'{tab}    ')
    return [*head, f'{tab}){end}\n']


def _list_lines(
    start: str, tree: dict, indent: int, end: str, place: Path
) -> list[str]:
    """A list that differs from the base's in some elements' entries."""
    tab = ' ' * indent
    name = f'_base_.{dotted(place)}'
    lines = [f'{tab}{start}[\n']
    done = 0
    for i in sorted(tree):
        if i > done:
            lines.append(f'{tab}    *{name}[{done}:{i}],\n')
        lines += _element('', tree[i], indent + 4, (*place, i))
        done = i + 1
    lines.append(f'{tab}    *{name}[{done}:],\n')
    return [*lines, f'{tab}]{end}\n']


def _element(start: str, tree: Any, indent: int, place: Path) -> list[str]:
    """A dict of the base with some entries of its own.

    A dict in an element of a list is replaced, not merged.
    """
    tab = ' ' * indent
    if isinstance(tree, _Leaf) or any(type(key) is int for key in tree):
        return _lines(start, tree, indent, ',', place)
    lines = [f'{tab}{start}dict(\n', f'{tab}    _base_.{dotted(place)},\n']
    for key, inner in tree.items():
        lines += _element(f'{key}=', inner, indent + 4, (*place, key))
    return [*lines, f'{tab}),\n']


def base_of(source: str, target: File, lazy: bool) -> str:
    """Name a config, by a path or a name, as a file that inherits from it.

    Raises:
        SwapError: If a file of the new style cannot be imported by name.
    """
    if '::' in source:
        # mmengine takes no `gn+ws` or `legacy_1.x` as the first folder.
        plain = re.match(r'\w+::\w+/', source)
        return source if plain else source.replace('::', '::_base_/../')
    path = os.path.relpath(File(source).resolve(), target.resolve().parent)
    path = path.replace(os.sep, '/')
    if not lazy:
        return path if path.startswith('.') else f'./{path}'
    parts = path.removesuffix('.py').split('/')
    ups = parts.count('..')
    if not all(name.isidentifier() for name in parts[ups:]):
        raise SwapError(
            f'a config of the new style imports its base, and {path!r} is no '
            'name that Python imports: rename it, or use '
            'mmvovnet.swap.swap_backbone()'
        )
    return '.' * (ups + 1) + '.'.join(parts[ups:])


def write_config(swap: Swap, text: str, target: File) -> None:
    """Write a config file whole, in place of ``target``, once it is proven.

    Raises:
        SwapError: If the file does not read as the swap.
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
        mask = os.umask(0)
        os.umask(mask)
        trial.chmod(0o666 & ~mask)
        trial.replace(target)
    finally:
        trial.unlink(missing_ok=True)
