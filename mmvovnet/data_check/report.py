"""What a check of data found, as text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

ERROR, WARNING, NOTE = 'error', 'warning', 'note'
_ORDER = (ERROR, WARNING, NOTE)
_ROWS = 40


@dataclass(frozen=True)
class Finding:
    """One kind of fault.

    Attributes:
        level (str): 'error' where a training would be wrong or end, 'warning'
            where it may be, 'note' for what is only reported.
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

    def add(
        self,
        level: str,
        where: str,
        what: str,
        examples: Sequence[object] | None = None,
        count: int | None = None,
    ) -> None:
        """Add a finding, as of :class:`Finding`; nothing if there are 0.

        ``count`` is the number of ``examples`` by default, or 1 without any.
        """
        if count is None:
            count = 1 if examples is None else len(examples)
        if count:
            kept = tuple(str(example) for example in (examples or ())[:4])
            self.findings.append(Finding(level, where, what, count, kept))

    @property
    def errors(self) -> list[Finding]:
        """What would make a training wrong."""
        return [f for f in self.findings if f.level == ERROR]

    def __str__(self) -> str:
        lines = list(self.tables)
        for found in sorted(
            self.findings, key=lambda f: _ORDER.index(f.level)
        ):
            times = f' ({found.count} times)' if found.count > 1 else ''
            lines.append(f'{found.level:8}{found.where}: {found.what}{times}')
            if found.examples:
                more = ', ...' if found.count > len(found.examples) else ''
                lines.append(f'{"":8}  {", ".join(found.examples)}{more}')
        counts = Counter(found.level for found in self.findings)
        lines.append(f'{counts[ERROR]} errors, {counts[WARNING]} warnings')
        return '\n'.join(lines)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence]) -> str:
    """Write the first rows of a table as text, under its title.

    Example:
        >>> print(table('boxes', ('class', 'count'), [('cat', 3)]))
        boxes
          class  count
          cat        3
    """
    cells = [[str(cell) for cell in row] for row in [header, *rows[:_ROWS]]]
    if len(rows) > _ROWS:
        cells.append(['...'] + [''] * (len(header) - 1))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        '  '.join(
            [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        )
        for row in cells
    ]
    return '\n'.join([title, *(f'  {line}' for line in lines)])


def dotted(*path: str | int) -> str:
    """Write the path of an entry as in Python.

    Example:
        >>> dotted('train_dataloader', 'dataset', 'pipeline', 2)
        'train_dataloader.dataset.pipeline[2]'
    """
    parts = [f'[{p}]' if isinstance(p, int) else f'.{p}' for p in path]
    return ''.join(parts).lstrip('.')
