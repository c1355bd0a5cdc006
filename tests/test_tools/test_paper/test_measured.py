import pytest
from benchmark import Measurement, Setting
from benchmark.summary import Quartiles, over
from matplotlib.figure import Figure
from paper.measured import (
    draw_ratios,
    draw_seeds,
    inference,
    rates,
)

from mmvovnet.analysis.cost import Cost


def test_rates_count_the_batch():
    result = Measurement('row', Setting(batch=4), Cost(macs=10**9), [2.0, 8.0])
    assert rates(result) == [2000, 500]


def test_ratios_are_taken_round_by_round():
    # The machine slows down threefold; the ratio stays.
    ratio = over([20, 40, 60], [10, 20, 30])
    assert (ratio.low, ratio.high) == (2, 2)
    with pytest.raises(ValueError, match='shorter'):
        over([1, 2], [1])


def test_memory_is_that_of_parameters_and_activations():
    small, large = (
        inference(['V-19-slim-eSE'], Setting(1, size), 1)['V-19-slim-eSE']
        for size in (64, 128)
    )
    parameters = 4 * small.cost.parameters / 1e6
    assert small.saved_mb > parameters
    activations = small.saved_mb - parameters
    assert large.saved_mb - parameters == pytest.approx(
        4 * activations, rel=0.01
    )
    assert len(small.forward_ms) == 1


def test_ratios_stand_beside_the_papers():
    axes = Figure().subplots()
    here = [Quartiles(1, 2, 3), Quartiles(4, 5, 6)]
    draw_ratios(axes, ['a', 'b'], [1, 2], here)
    bars = [x.get_x() + 0.2 for x in axes.patches]
    assert bars == pytest.approx([-0.2, 0.8, 0.2, 1.2])
    assert [x.get_height() for x in axes.patches] == [1, 2, 2, 5]


def test_seeds_are_points_of_their_own():
    axes = Figure().subplots()
    draw_seeds(axes, 1, [3, 3, 6], width=0.2)
    (points,) = axes.lines
    assert points.get_xdata() == pytest.approx([0.9, 1, 1.1])
    assert points.get_ydata().tolist() == [3, 3, 6]
    (mean,) = axes.collections
    assert mean.get_segments()[0].ravel() == pytest.approx([0.86, 4, 1.14, 4])
