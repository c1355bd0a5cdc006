"""Config files that inherit from another and change what a swap changes."""

import os
import re
import textwrap
from pathlib import Path as File
from typing import Any

from mmengine.config import Config

from mmvovnet import fileio
from mmvovnet.tasks import ABSENT, Path, dotted, get

from .changes import Change, SwapError, type_name
from .plan import Swap

_WIDTH = 79


def config_text(swap: Swap, base: str, command: str, lazy: bool) -> str:
    """Write a swap as a config file that inherits from ``base``.

    That is a path for ``_base_`` or, in the new style (``lazy``), a module
    such as ``.retinanet``.
    """
    made = f'`{command}` wrote this. Comments give the old values.'
    lines = _comment(made, '')
    nodes: dict[Path, Any] = {swap.place: {}}  # a dict where entries merge
    for path, change in swap.changes.items():
        if path[:-1] == swap.place:
            nodes[swap.place][path[-1]] = change
        else:
            nodes[path] = change
    if lazy:
        lines += [
            'from mmengine.config import read_base\n\n',
            f'with read_base():\n    from {base} import *  # noqa: F403\n\n',
        ]
        for path, node in nodes.items():
            lines += _lines(f'{dotted(path)} = ', node, '', '', (), swap)
        return ''.join(lines)
    tree: dict = {}
    for path, node in nodes.items():
        holder = tree
        for part in path[:-1]:
            holder = holder.setdefault(part, {})
        holder[path[-1]] = node
    lines.append(f'_base_ = {base!r}\n')
    for key in sorted(tree, key=lambda key: isinstance(tree[key], dict)):
        lines += ['\n'] * isinstance(tree[key], dict)
        lines += _lines(f'{key} = ', tree[key], '', '', (key,), swap)
    return ''.join(lines)


def _lines(
    start: str, node: Any, tab: str, end: str, place: Path, swap: Swap
) -> list[str]:
    """Lines of ``start node end`` and comments.

    ``place`` is where a file of the old style merges the node; it is empty
    where a value replaces the old one.
    """
    head = []
    if isinstance(node, Change):
        old, new, _ = node
        note = _note(node)
        if place and isinstance(old, dict) and isinstance(new, dict):
            new = dict(_delete_=True, **new)
        one = f'{tab}{start}{_inline(new)}{end}'
        whole = f'{one}  # {note}' if note else one
        if len(whole) <= _WIDTH:
            return [f'{whole}\n']
        head = _comment(note, tab)
        if len(one) <= _WIDTH or not isinstance(new, dict):
            return [*head, f'{one}\n']
        node, place = {k: Change(ABSENT, v) for k, v in new.items()}, ()
    is_list = any(type(key) is int for key in node)
    # A dict in an element of a list is replaced, not merged.
    listed = not is_list and any(type(part) is int for part in place)
    if len(node) == 1 and place and not (is_list or listed):
        ((key, inner),) = node.items()
        begin, finish, inside = f'{start}dict({key}=', f'){end}', (*place, key)
        short = _lines(begin, inner, tab, finish, inside, swap)
        if len(short) == 1:  # neck=dict(in_channels=512),  # 2048
            return short
    body, left_out = [], []
    if place == swap.place:
        body.append(f'{tab}    _delete_=True,\n')
    elif listed:
        body.append(f'{tab}    _base_.{dotted(place)},\n')
    named = all(str(key).isidentifier() for key in node)
    first, last = ('dict(', ')') if named else '[]' if is_list else '{}'
    if is_list:
        node = {i: node.get(i) for i in range(len(get(swap.cfg, place)))}
    for key, inner in node.items():
        inside = (*place, key) if place and place != swap.place else ()
        if inner is None:  # an element as in the base
            body.append(f'{tab}    _base_.{dotted(inside)},\n')
        elif isinstance(inner, Change) and inner.new is ABSENT:
            left_out.append(f'{key}={_note(inner)}')
        else:
            begin = f'{key}=' if named else '' if is_list else f'{key!r}: '
            body += _lines(begin, inner, f'{tab}    ', ',', inside, swap)
    if left_out:
        body += _comment(f'left out: {", ".join(left_out)}', f'{tab}    ')
    return [*head, f'{tab}{start}{first}\n', *body, f'{tab}{last}{end}\n']


def _note(change: Change) -> str:
    """The old value of an entry, and why it changed."""
    old, new, why = change
    if old in (ABSENT, new):
        return why
    is_file = type_name(old) == 'Pretrained'
    shown = repr(old.get('checkpoint')) if is_file else _inline(old)
    return f'{shown} ({why})' if why else shown


def _comment(text: str, tab: str) -> list[str]:
    wrapped = textwrap.wrap(
        text,
        _WIDTH - len(tab) - 2,
        break_long_words=False,  # URLs stay whole
        break_on_hyphens=False,
    )
    return [f'{tab}# {line}\n' for line in wrapped]


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        if all(str(key).isidentifier() for key in value):
            inner = ', '.join(f'{k}={_inline(v)}' for k, v in value.items())
            return f'dict({inner})'
        inner = ', '.join(f'{k!r}: {_inline(v)}' for k, v in value.items())
        return f'{{{inner}}}'
    if isinstance(value, list | tuple):
        inner = ', '.join(map(_inline, value))
        if isinstance(value, list):
            return f'[{inner}]'
        return f'({inner},)' if len(value) == 1 else f'({inner})'
    return value.__name__ if isinstance(value, type) else repr(value)


def base_of(source: str, target: File, lazy: bool) -> str:
    """Name a config, by a path or a name, as ``target`` inherits from it."""
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
    """Write a config file, in place of ``target``, if it reads as the swap."""
    trial = target.with_name(f'{target.stem}_{os.getpid()}.py')
    try:
        fileio.write(trial, text.encode())
        written = Config.fromfile(trial)
        for path, change in swap.changes.items():
            if get(written, path) != change.new:
                raise SwapError(
                    f'the file would not set {dotted(path)}; use '
                    'mmvovnet.swap.swap_backbone()'
                )
        trial.replace(target)
    finally:
        trial.unlink(missing_ok=True)
