"""Tables in Markdown."""

import re
from collections.abc import Sequence
from typing import Any


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as a Markdown table; columns of numbers are right-aligned.

    Args:
        rows (Sequence[dict]): Rows, each a value by column.

    Example:
        >>> print(markdown_table([{'network': 'V-39', 'ms': 1.5}]))
        | network | ms |
        | --- | --: |
        | V-39 | 1.5 |
    """
    if not rows:
        return ''
    lines = [[str(value) for value in row.values()] for row in rows]
    # A number has no letters but those of a unit, as in '21.58 M'.
    numbers = [
        all(re.fullmatch(r'[^a-zA-Z]*( [kMG])?', cell) for cell in cells)
        for cells in zip(*lines, strict=True)
    ]
    rule = ['--:' if number else '---' for number in numbers]
    lines = [list(rows[0]), rule, *lines]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
