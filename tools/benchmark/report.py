"""The measurements as a table and as a picture."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from .subject import Measurement
from .summary import is_within_spread, over

# The attributes behind the columns of which ratios are given.
COMPARED = {
    'forward ms': 'forward_ms',
    'step ms': 'step_ms',
    'saved MB': 'saved_mb',
    'peak MB': 'peak_mb',
}


def table(results: Sequence[Measurement]) -> list[dict[str, str]]:
    """Write the measurements, with ratios to the first row of a setting.

    Those of times are taken round by round, and a tilde marks one that is
    within the spread of the rounds.

    Args:
        results (Sequence[Measurement]): What was measured.

    Returns:
        list[dict[str, str]]: Rows, each a text by column, without columns
        that are empty.
    """
    rows = []
    for result in results:
        first = next(r for r in results if r.setting == result.setting)
        row = {}
        for column, text in result.columns().items():
            row[column] = text
            if name := COMPARED.get(column):
                value, base = getattr(result, name), getattr(first, name)
                row[f'{column}, ratio'] = _ratio(value, base)
        rows.append(row)
    filled = [k for k in rows[0] if any(row[k] != '-' for row in rows)]
    return [{k: row[k] for k in filled} for row in rows]


def _ratio(value: Any, base: Any) -> str:
    if not (value and base):
        return '-'
    if isinstance(value, float):
        return f'{value / base:.2f}'
    ratio = over(value, base)
    return f'{"~" * is_within_spread(ratio)}{ratio.median:.2f}'


def plot(results: Sequence[Measurement], path: Path) -> None:
    """Draw time against memory access, and training time against memory.

    Args:
        results (Sequence[Measurement]): What was measured.
        path (Path): The PNG file.
    """
    figure = Figure(figsize=(12, 5), layout='constrained')
    left, right = figure.subplots(1, 2)
    left.set(xlabel='memory access (Eq. 1), M values', ylabel='forward, ms')
    right.set(xlabel='saved for backward, MB', ylabel='training step, ms')
    for r in results:
        points = [
            (left, r.cost.memory_access / 1e6, r.forward_ms),
            (right, r.saved_mb, r.step_ms),
        ]
        for axes, x, times in points:
            if not (x and times):
                continue
            y = statistics.median(times)
            axes.scatter(x, y, color='C1' if ':' in r.row else 'C0')
            axes.annotate(r.row, (x, y), fontsize=7)
    figure.savefig(path, dpi=150)
