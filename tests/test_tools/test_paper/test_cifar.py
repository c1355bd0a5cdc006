from pathlib import Path

import pytest
from paper import cifar
from paper.training import Run


@pytest.fixture
def errors(monkeypatch):
    """Errors of the seeds by network, in place of trainings."""
    values = {}

    def train(config, seed, folder, epochs):
        error = values[config.partition('_')[0]][seed]
        return Run(error, [2.0, 1.0], Path('none'), Path('none'))

    monkeypatch.setattr(cifar, 'train', train)
    return values


def verdicts(result):
    return [finding.holds for finding in result.findings]


@pytest.mark.parametrize(
    ('dense', 'long', 'short', 'expected'),
    [
        ([5.2, 5.3], [6.4, 6.5], [5.4, 5.5], [True, True, True]),
        ([6.4, 6.5], [5.2, 5.3], [9.4, 9.5], [False, False, False]),
        ([1.0, 9.0], [2.0, 8.0], [3.0, 7.0], [None, None, None]),
    ],
)
def test_verdicts_come_from_the_errors(
    errors, tmp_path, dense, long, short, expected
):
    errors.update(densenet40=dense, osa12x20=long, osa5x43=short)
    result = cifar.check(tmp_path, seeds=2)
    assert verdicts(result) == [True, True, *expected]
    assert 'This is not CIFAR-10' in result.markdown('x', 'x.png')
    if expected[0]:  # the picture is the same otherwise
        paths = result.write(tmp_path, 'cifar', 'x')
        assert all(path.stat().st_size for path in paths)


def test_seeds_added_after_a_look_widen_the_intervals(errors, tmp_path):
    """The five seeds of docs/paper/cifar.csv, and what each look costs."""
    errors.update(
        densenet40=[2.5, 2.222, 2.5, 3.056, 0.833],
        osa12x20=[6.389, 5.0, 2.778, 7.778, 2.5],
        osa5x43=[1.667, 1.944, 2.222, 1.944, 1.667],
    )
    for looks, verdict, level in ((1, True, '(95 %)'), (2, None, '(97.5 %)')):
        result = cifar.check(tmp_path, looks=looks)
        assert verdicts(result)[3] is verdict
        assert result.findings[3].here.endswith(level)
        text = result.markdown('x', 'x.png')
        assert ('optional stopping' in text) == (looks > 1)


def test_on_cifar_itself(errors, tmp_path):
    errors.update({name: [1.0, 2.0] for name in cifar.NETWORKS})
    text = cifar.check(tmp_path, 'cifar10', 2).markdown('x', 'x.png')
    assert 'This is not CIFAR-10' not in text
    assert '1.50 ± 0.71' in text


def test_bad_options(tmp_path):
    with pytest.raises(ValueError, match="got 'mnist'"):
        cifar.check(tmp_path, data='mnist')
    with pytest.raises(ValueError, match='at least 2 seeds, got 1'):
        cifar.check(tmp_path, seeds=1)
