"""Measurements with their spread, and comparisons that mind it."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes

from mmvovnet.analysis.benchmark import Result, Setting, build, measure
from mmvovnet.analysis.cost import saved_bytes

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
NOTE = (
    'Ratios are medians of the rounds, in which all networks take turns, ± '
    'half of the range that holds the middle half. One is more where it is so '
    'in three rounds of four. Multiply-adds, parameters and memory are '
    'counted; memory is that of parameters and of the activations that '
    'training keeps, in float32.'
)


@dataclass(frozen=True)
class Spread:
    """The quartiles of repeated measurements.

    Example:
        >>> print(Spread.of([1.0, 1.1, 1.3, 1.2, 9.0]))
        1.20 ± 0.10
        >>> print(Spread.of([0.5]))
        0.50
    """

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> 'Spread':
        """Find the quartiles; a single value is exact."""
        if len(values) == 1:
            return cls(*values * 3)
        return cls(*statistics.quantiles(values, n=4, method='inclusive'))

    @property
    def half(self) -> float:
        """Half of the range that holds the middle half."""
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        if self.low == self.high:
            return f'{self.middle:.2f}'
        return f'{self.middle:.2f} ± {self.half:.2f}'


def inference(
    rows: Sequence[str], setting: Setting, rounds: int
) -> dict[str, Result]:
    """Time rows for inference and count the memory of section 4.1.

    Args:
        rows (Sequence[str]): Rows of :mod:`mmvovnet.analysis.benchmark`.
        setting (Setting): What they share.
        rounds (int): Times that each row is timed, all taking turns.

    Returns:
        dict[str, Result]: By row; ``saved_mb`` is the memory of parameters
        and activations.
    """
    results = measure(rows, setting, rounds, training=False)
    for result in results:
        model = build(result.row).to(setting.device)
        kept = saved_bytes(model, setting.images())
        result.saved_mb = (kept + 4 * result.cost.parameters) / 1e6
    return {result.row: result for result in results}


def rates(result: Result) -> list[float]:
    """Give the GMAC/s of a row's rounds."""
    gmacs = result.cost.macs * result.setting.batch / 1e9
    return [gmacs / ms * 1e3 for ms in result.forward_ms]


def over(mine: Sequence[float], other: Sequence[float]) -> Spread:
    """Divide round by round: two rows that took turns met the same machine.

    Args:
        mine (Sequence[float]): The measurements of one row.
        other (Sequence[float]): Those of another, in the same rounds.
    """
    return Spread.of([a / b for a, b in zip(mine, other, strict=True)])


def draw_ratios(
    axes: Axes,
    labels: Sequence[str],
    paper: Sequence[float],
    here: Sequence[Spread],
) -> None:
    """Draw ratios beside the paper's.

    Args:
        axes (Axes): Where to.
        labels (Sequence[str]): What is compared.
        paper (Sequence[float]): The paper's ratios.
        here (Sequence[Spread]): Ours; none where they were not measured.
    """
    places = range(len(labels))
    shift = 0.2 if here else 0
    bars = axes.bar(
        [x - shift for x in places],
        paper,
        0.4,
        color='lightgray',
        label='paper',
    )
    axes.bar_label(bars, fmt='%.2f')
    if here:
        bars = axes.bar(
            [x + shift for x in places],
            [ratio.middle for ratio in here],
            0.4,
            yerr=[ratio.half for ratio in here],
            color='C1',
            label='here',
        )
        axes.bar_label(bars, fmt='%.2f')
    axes.axhline(1, color='black', linewidth=0.8)
    axes.set_xticks(places, labels, fontsize=9)
    axes.margins(y=0.1)
    axes.legend()
