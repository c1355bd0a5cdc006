from pathlib import Path

import pytest
from paper import residual
from paper.training import Run


def check(monkeypatch, tmp_path, gain):
    """Check with errors that the residual lowers by a number of points."""

    def train(config, seed, folder, epochs, **options):
        deep = 'vovnet99' in config
        error = 60 + 0.1 * seed
        if 'identity' not in options:
            error -= gain if deep else 0.2 * gain
        return Run(
            error - 2 * ('gate' in options),
            [2.0, 1.0],
            Path('none'),
            Path('none'),
        )

    monkeypatch.setattr(residual, 'train', train)
    return residual.check(tmp_path, seeds=3)


@pytest.mark.parametrize(('gain', 'holds'), [(20, True), (-20, False)])
def test_verdicts_come_from_the_errors(monkeypatch, tmp_path, gain, holds):
    result = check(monkeypatch, tmp_path, gain)
    found = {f.claim: f.holds for f in result.findings}
    assert found['V-99: the residual helps'] is holds
    assert found['V-39: the residual helps'] is holds
    assert found['the residual helps V-99 more than V-39'] is holds
    assert found['V-99: eSE helps'] is True
    assert [f.paper for f in result.findings][:2] == ['+7.2 AP', '+0.1 AP']
    if holds:
        paths = result.write(tmp_path, 'residual', 'x')
        assert all(path.stat().st_size for path in paths)


def test_one_seed_has_no_spread(tmp_path):
    with pytest.raises(ValueError, match='at least 2 seeds, got 1'):
        residual.check(tmp_path, seeds=1)
