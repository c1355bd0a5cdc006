"""What is changed in a config, and how a config's parts are reached."""

import traceback
from typing import Any, NamedTuple

from mmvovnet.tasks import Path

ABSENT = object()


class SwapError(ValueError):
    """A config's backbone cannot be swapped; the message says why."""


class Change(NamedTuple):
    """One entry of a config that is set anew.

    ``old`` is :data:`ABSENT` if it had no value, a dict in ``new`` replaces
    the old one whole, and ``why`` says what the values do not show.
    """

    path: Path
    old: Any
    new: Any
    why: str = ''


def dotted(path: Path) -> str:
    """Write a path as in Python.

    Example:
        >>> dotted(('model', 'neck', 0, 'in_channels'))
        'model.neck[0].in_channels'
    """
    text = ''.join(f'[{p}]' if type(p) is int else f'.{p}' for p in path)
    return text.removeprefix('.')


def get(node: Any, path: Path) -> Any:
    """The part of a config at a path, :data:`ABSENT` if there is none."""
    for part in path:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return node


def type_name(node: Any) -> str:
    """The name of what a dict builds: a registered name or a class."""
    kind = node.get('type', '') if isinstance(node, dict) else ''
    return kind if isinstance(kind, str) else kind.__name__


def one_line(error: Exception) -> str:
    """An error in a line, or the line of code that raised it."""
    text = ' '.join(str(error).split())
    if not text:
        text = traceback.extract_tb(error.__traceback__)[-1].line or ''
    return f'{type(error).__name__}: {text[:200]}'
