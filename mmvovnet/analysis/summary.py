"""Tables in Markdown."""

import re


def markdown_table(rows: list[dict]) -> str:
    """Write rows as a Markdown table; columns of numbers are right-aligned.

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
