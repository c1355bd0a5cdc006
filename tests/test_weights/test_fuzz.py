import pytest

from .forked import forked
from .fuzz import fuzz


@pytest.mark.parametrize(
    ('seed', 'count'),
    [
        (0, 150),
        *[pytest.param(i, 1000, marks=pytest.mark.slow) for i in range(20)],
    ],
)
def test_random_pickles(seed, count):
    found = forked(fuzz, seed, count, seconds=600)
    assert isinstance(found, dict), found
    kinds = [found[kind] for kind in ('loaded', 'refused', 'damaged')]
    assert sum(kinds) == count and min(kinds) > 0.05 * count
    assert found['slowest'] < 10 and found['megabytes'] < 1000
