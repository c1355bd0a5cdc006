"""The measurements as a picture."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from .subject import Measurement


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
        points = [(left, r.cost.memory_access / 1e6, r.forward_ms)]
        if r.saved_mb and r.step_ms:
            points.append((right, r.saved_mb, r.step_ms))
        for axes, x, times in points:
            y = statistics.median(times)
            axes.scatter(x, y, color='C1' if ':' in r.row else 'C0')
            axes.annotate(r.row, (x, y), fontsize=7)
    figure.savefig(path, dpi=150)
