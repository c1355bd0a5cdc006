"""Summaries of repeated measurements."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Quartiles:
    """Median and quartiles of repeated measurements.

    Written as the median ± half of the range that holds the middle half.

    Example:
        >>> print(Quartiles.of([1.0, 1.1, 1.3, 1.2, 9.0]))
        1.20 ± 0.10
        >>> print(Quartiles.of([0.5]))
        0.50
        >>> f'{Quartiles.of([1.0, 2.0, 3.0]):.1f}'
        '2.0 ± 0.5'
    """

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> 'Quartiles':
        """Find the quartiles; a single value is exact."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        return cls(*statistics.quantiles(values, n=4, method='inclusive'))

    @property
    def half(self) -> float:
        """Half of the range that holds the middle half."""
        return (self.high - self.low) / 2

    def __format__(self, spec: str) -> str:
        text = format(self.median, spec or '.2f')
        if self.low == self.high:
            return text
        return f'{text} ± {format(self.half, spec or ".2f")}'

    def __str__(self) -> str:
        return format(self)


def over(mine: Sequence[float], other: Sequence[float]) -> Quartiles:
    """Divide round by round: two rows that took turns met the same machine.

    Args:
        mine (Sequence[float]): The measurements of one row.
        other (Sequence[float]): Those of another, in the same rounds.

    Example:
        >>> print(over([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]))
        2.00
    """
    return Quartiles.of([a / b for a, b in zip(mine, other, strict=True)])


def is_within_spread(ratio: Quartiles) -> bool:
    """Whether a ratio is nearer to 1 than its middle half is wide.

    Example:
        >>> is_within_spread(Quartiles(1.00, 1.02, 1.03))
        True
        >>> is_within_spread(Quartiles(1.19, 1.20, 1.21))
        False
    """
    return abs(ratio.median - 1) < ratio.high - ratio.low


def mean_and_deviation(values: Sequence[float], digits: int = 2) -> str:
    """Write the mean and the sample standard deviation.

    Example:
        >>> mean_and_deviation([1.0, 2.0, 3.0])
        '2.00 ± 1.00'
    """
    deviation = statistics.stdev(values)
    return f'{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}'
