"""What a check of data found, as text."""

from collections.abc import Sequence
from dataclasses import dataclass

ERROR, WARNING, NOTE = 'error', 'warning', 'note'
_ROWS = 40


@dataclass(frozen=True)
class Finding:
    """One kind of fault.

    An error makes a training wrong or ends it, a warning may, and a note is
    only reported.
    """

    level: str
    where: str  # a file, or a key of the config
    what: str  # the fault, what was expected, how to correct it
    count: int  # how often it was found
    examples: tuple[str, ...]  # where, for some of them


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
        return self._of(ERROR)

    def __str__(self) -> str:
        lines = list(self.tables)
        for level in (ERROR, WARNING, NOTE):
            for found in self._of(level):
                times = f' ({found.count} times)' if found.count > 1 else ''
                lines.append(f'{level:8}{found.where}: {found.what}{times}')
                if found.examples:
                    more = ', ...' * (found.count > len(found.examples))
                    lines.append(f'{"":10}{", ".join(found.examples)}{more}')
        errors, warnings = len(self._of(ERROR)), len(self._of(WARNING))
        return '\n'.join([*lines, f'{errors} errors, {warnings} warnings'])

    def _of(self, level: str) -> list[Finding]:
        return [f for f in self.findings if f.level == level]


def table(title: str, header: Sequence[str], rows: Sequence[Sequence]) -> str:
    """Write the first rows of counts as text, under a title.

    Example:
        >>> print(table('boxes', ('class', 'count'), [('cat', 3)]))
        boxes
          class   count
          cat         3
    """
    rows = [header, *rows[:_ROWS], *[['...']] * (len(rows) > _ROWS)]
    width = max(len(str(name)) for name, *_ in rows)
    lines = [
        f'  {name!s:{width}}' + ''.join(f'{count:>8}' for count in counts)
        for name, *counts in rows
    ]
    return '\n'.join([title, *lines])
