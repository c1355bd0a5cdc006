import pytest
from benchmark.summary import Quartiles, mean_and_deviation

from mmvovnet.analysis.summary import markdown_table


def test_quartiles():
    found = Quartiles.of([4, 1, 3, 2, 5])
    assert (found.low, found.median, found.high) == (2, 3, 4)
    assert str(found) == '3.00 ± 1.00'
    assert f'{found:.1f}' == '3.0 ± 1.0'
    assert str(Quartiles.of([0.82])) == '0.82'


def test_deviation_is_that_of_a_sample():
    assert mean_and_deviation([1, 2, 3, 4], 3) == '2.500 ± 1.291'


def test_columns_of_numbers_stand_right():
    rows = [{'a': 'V-39', 'b': 1, 'c': '-'}, {'a': '1', 'b': 2, 'c': '3%'}]
    assert markdown_table(rows).splitlines()[1] == '| --- | --: | --: |'


@pytest.mark.parametrize(
    ('rounds', 'is_more'),
    [
        ([1.1, 1.1, 1.1, 0.99], True),
        ([1.1, 1.1, 0.9, 0.9], False),
        ([1.1] * 6 + [0.99] * 2, True),
        ([1.1] * 5 + [0.9] * 3, False),
    ],
)
def test_more_in_three_rounds_of_four(rounds, is_more):
    """The rule of the paper's evidence: the first quartile is above 1."""
    assert (Quartiles.of(rounds).low > 1) == is_more
