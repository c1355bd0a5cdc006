"""Names by templates, in both directions: see :mod:`.dialects`."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from .dialects import Pairs

_FIELD = re.compile(r'{(\w+)(?:\*(\d+))?(?:\+(\d+))?}')
_WORDS = {'name': r'\w+', 'part': r'\w+', 'rest': '.+'}


def rename(name: str, pairs: Pairs, to_ours: bool) -> str | None:
    """Translate one name.

    Args:
        name (str): The name.
        pairs (Pairs): Templates of our names, and of their peer's.
        to_ours (bool): From the peer's name to ours, or back.

    Returns:
        str | None: The other name, or None if no pair fits.

    Example:
        >>> pairs = (('blocks.{block}.{name}', 'OSA_{block+1}/{name}'),)
        >>> rename('OSA_3/weight', pairs, to_ours=True)
        'blocks.2.weight'
        >>> rename('blocks.2.weight', pairs, to_ours=False)
        'OSA_3/weight'
    """
    for ours, theirs in pairs:
        source, target = (theirs, ours) if to_ours else (ours, theirs)
        fields = _read(source, name)
        if fields is not None:
            return _write(target, fields)
    return None


def fits(name: str, templates: Iterable[str]) -> bool:
    """Whether one of the templates reads a name.

    Example:
        >>> fits('scales.3.scale', ['scales.{level}.scale'])
        True
    """
    return any(_read(template, name) is not None for template in templates)


@cache
def _pattern(template: str) -> re.Pattern:
    pattern, end, seen = '', 0, set()
    for match in _FIELD.finditer(template):
        field = match[1]
        pattern += re.escape(template[end : match.start()])
        if field in seen:
            pattern += f'(?P={field})'
        else:
            pattern += f'(?P<{field}>{_WORDS.get(field, "[0-9]+")})'
        seen.add(field)
        end = match.end()
    return re.compile(pattern + re.escape(template[end:]))


def _read(template: str, name: str) -> dict[str, str | int] | None:
    match = _pattern(template).fullmatch(name)
    if match is None:
        return None
    fields: dict[str, str | int] = match.groupdict()
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
