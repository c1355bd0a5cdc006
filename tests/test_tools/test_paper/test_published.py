"""The papers' figures, typed a second time from the tables."""

import pytest
from paper.published import PAIRS, PUBLISHED, Published

# Detector, GFLOPs, frames a second, parameters, memory, joules, GFLOP/s.
TABLES_2_AND_4 = """
Pelee304 PeleeNet 1.2 35 5.4 1104 2.4 43
DSOD300 DSODDenseNet 5.3 35 5.9 1294 3.7 189
DSOD300 V-27-slim 5.6 71 5.9 825 0.9 400
RefineDet320 ResNet-50 25.43 23.2 63.46 2229 5.3 591.3
RefineDet320 densenet201 24.65 12.0 56.13 3498 9.9 296.9
RefineDet320 V-39 32.6 25.0 56.28 2199 4.8 815.0
RefineDet320 ResNet-101 33.02 17.5 82.45 3013 7.5 579.2
RefineDet320 densenet161 32.74 12.8 66.76 3628 10.0 419.7
RefineDet320 V-57 36.45 21.2 70.32 2511 5.9 775.5
"""


@pytest.mark.parametrize('line', TABLES_2_AND_4.strip().splitlines())
def test_tables_2_and_4(line):
    detector, name, *figures = line.split()
    (row,) = [row for row in PUBLISHED if row.rpartition(':')[2] == name]
    assert PUBLISHED[row] == Published(detector, *map(float, figures))


def test_table_3():
    """18 ms for an image, and 14 without the bottleneck."""
    bottleneck = PUBLISHED['V-27-slim+bottleneck']
    assert bottleneck == Published('DSOD300', 4.6, 1000 / 18, 4.8, 895)
    assert round(1000 / PUBLISHED['V-27-slim'].fps) == 14


def test_all_rows_are_typed_twice():
    typed = {line.split()[1] for line in TABLES_2_AND_4.strip().splitlines()}
    names = {row.rpartition(':')[2] for row in PUBLISHED}
    assert names == typed | {'V-27-slim+bottleneck'}
    assert {row for pair in PAIRS for row in pair} <= PUBLISHED.keys()


@pytest.mark.parametrize('row', PUBLISHED)
def test_gflops_a_second_are_gflops_times_frames(row):
    published = PUBLISHED[row]
    if published.rate is not None:
        product = published.gmacs * published.fps
        assert product == pytest.approx(published.rate, rel=0.03)
