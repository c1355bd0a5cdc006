"""What a check of data found, as a table."""

from collections.abc import Sequence
from typing import NamedTuple

ERROR, WARNING, NOTE = 'error', 'warning', 'note'
_ORDER = (ERROR, WARNING, NOTE)


class Finding(NamedTuple):
    """One kind of fault.

    Args:
        level (str): 'error' where a training would be wrong or end, 'warning'
            where it may be, 'note' for what is merely told.
        where (str): A file, or a key of the config.
        what (str): The fault, what was expected, how to correct it.
        count (int): How often it was found. Defaults to 1.
        examples (tuple[str, ...]): Where, for some of them.
    """

    level: str
    where: str
    what: str
    count: int = 1
    examples: tuple[str, ...] = ()


class Report:
    """Findings, and the tables that go with them."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.tables: list[str] = []
        self.files: dict[str, int] = {}

    def add(
        self,
        level: str,
        where: str,
        what: str,
        examples: Sequence[object] | None = None,
        count: int | None = None,
    ) -> None:
        """Add a finding; nothing if there are ``count`` = 0 of it.

        Args:
            level (str): As of :class:`Finding`.
            where (str): The same.
            what (str): The same.
            examples (Sequence, optional): All of them; four are kept.
            count (int, optional): Defaults to the number of examples, or to
                1 without any.
        """
        if count is None:
            count = 1 if examples is None else len(examples)
        if count:
            kept = tuple(str(example) for example in (examples or ())[:4])
            self.findings.append(Finding(level, where, what, count, kept))

    def blame(self, file: str, times: int = 1) -> None:
        """Count faults of a file."""
        self.files[file] = self.files.get(file, 0) + times

    @property
    def errors(self) -> list[Finding]:
        """What would make a training wrong."""
        return [f for f in self.findings if f.level == ERROR]

    def __str__(self) -> str:
        lines = list(self.tables)
        for found in sorted(
            self.findings, key=lambda found: _ORDER.index(found.level)
        ):
            times = f' ({found.count} times)' if found.count > 1 else ''
            lines.append(f'{found.level:8}{found.where}: {found.what}{times}')
            if found.examples:
                more = ', ...' if found.count > len(found.examples) else ''
                lines.append(f'{"":8}  {", ".join(found.examples)}{more}')
        worst = sorted(self.files.items(), key=lambda item: -item[1])[:10]
        if worst:
            lines.append('worst files:')
            lines += [f'{times:8}  {file}' for file, times in worst]
        counts = [sum(f.level == o for f in self.findings) for o in _ORDER[:2]]
        lines.append('{} errors, {} warnings'.format(*counts))
        return '\n'.join(lines)


def table(title: str, header: Sequence[str], rows: Sequence) -> str:
    """A table of text.

    Args:
        title (str): The line above.
        header (Sequence[str]): Names of the columns.
        rows (Sequence): Cells.

    Example:
        >>> print(table('boxes', ('class', 'count'), [('cat', 3)]))
        boxes
          class  count
          cat        3
    """
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        '  '.join(
            [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        )
        for row in cells
    ]
    return '\n'.join([title, *(f'  {line}' for line in lines)])
