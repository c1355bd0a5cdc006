"""Measurements with their spread, and comparisons that account for it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from benchmark import (
    Measurement,
    Setting,
    build_row,
    measure,
)
from benchmark.allocations import saved_bytes
from benchmark.summary import Quartiles
from matplotlib.axes import Axes

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
SEEDS = 'a point for a seed, a line for the mean'
NOTE = (
    'Ratios are medians of the rounds, in which all networks take turns, ± '
    'half of the range of the middle half. A claim holds where three rounds '
    'of four agree with it, fails where three of four contradict it, and is '
    'inconclusive in between. Multiply-adds, parameters and memory are '
    'counted; memory is that of parameters and of the activations that '
    'training keeps, in float32.'
)


def inference(
    rows: Sequence[str], setting: Setting, rounds: int
) -> dict[str, Measurement]:
    """Time rows for inference and count the memory of section 4.1.

    Args:
        rows (Sequence[str]): Rows of :mod:`benchmark`.
        setting (Setting): What they share.
        rounds (int): Times that each row is timed, all taking turns.

    Returns:
        dict[str, Measurement]: By row; ``saved_mb`` is the memory of
        parameters and activations.
    """
    results = measure(rows, setting, rounds, training=False)
    for result in results:
        model = build_row(result.row).to(setting.device)
        kept = saved_bytes(model, setting.images())
        result.saved_mb = (kept + 4 * result.cost.parameters) / 1e6
    return {result.row: result for result in results}


def rates(result: Measurement) -> list[float]:
    """Give the GMAC/s of a row's rounds."""
    gmacs = result.cost.macs * result.setting.batch / 1e9
    return [gmacs / ms * 1e3 for ms in result.forward_ms]


def above_one(ratio: Quartiles) -> bool | None:
    """Whether a ratio is above 1; None where its middle half spans 1.

    Args:
        ratio (Quartiles): The ratio by round.

    Example:
        >>> [above_one(Quartiles(x, x + 0.1, x + 0.2)) for x in (0.7, 0.9, 2)]
        [False, None, True]
    """
    if ratio.low > 1:
        return True
    return False if ratio.high < 1 else None


def below_one(ratio: Quartiles) -> bool | None:
    """Whether a ratio is below 1; None where its middle half spans 1.

    Args:
        ratio (Quartiles): The ratio by round.
    """
    above = above_one(ratio)
    return None if above is None else not above


def draw_ratios(
    axes: Axes,
    labels: Sequence[str],
    paper: Sequence[float],
    here: Sequence[Quartiles],
) -> None:
    """Draw ratios next to those of the paper.

    Args:
        axes (Axes): Where to.
        labels (Sequence[str]): What is compared.
        paper (Sequence[float]): The paper's ratios.
        here (Sequence[Quartiles]): Ours.
    """
    places = np.arange(len(labels))
    bars = axes.bar(places - 0.2, paper, 0.4, color='lightgray', label='paper')
    axes.bar_label(bars, fmt='%.2f')
    bars = axes.bar(
        places + 0.2,
        [ratio.median for ratio in here],
        0.4,
        yerr=[ratio.half for ratio in here],
        color='C1',
        label='here',
    )
    axes.bar_label(bars, fmt='%.2f')
    axes.axhline(1, color='black', linewidth=0.8)
    axes.set_xticks(places, labels, fontsize=9)
    axes.set_ylabel('ratio')
    axes.margins(y=0.1)
    axes.legend()


def draw_seeds(
    axes: Axes,
    place: float,
    values: Sequence[float],
    width: float = 0.2,
    **style: Any,
) -> None:
    """Draw a point for each seed, side by side, and a line for their mean.

    Args:
        axes (Axes): Where to.
        place (float): The middle, on the x axis.
        values (Sequence[float]): One for each seed.
        width (float): What the points take of the x axis. Defaults to 0.2.
        **style: How the points look.
    """
    places = place + np.linspace(-width / 2, width / 2, len(values))
    axes.plot(places, values, **dict(marker='o', linestyle='') | style)
    mean = float(np.mean(values))
    axes.hlines(mean, place - 0.7 * width, place + 0.7 * width, 'k', lw=1)
