"""What is changed in a config."""

import traceback
from typing import Any, NamedTuple


class SwapError(ValueError):
    """A config's backbone cannot be swapped; the message says why."""


class Change(NamedTuple):
    """An entry of a config, before and now.

    One that is not there is :data:`mmvovnet.tasks.ABSENT`; ``why`` says what
    the values do not show.
    """

    old: Any
    new: Any
    why: str = ''


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
