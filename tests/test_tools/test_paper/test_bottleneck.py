import pytest
from benchmark import Measurement
from paper import bottleneck, check

from mmvovnet.analysis.cost import Cost


@pytest.mark.parametrize('slower', [True, False])
def test_verdicts_come_from_the_times(slower, monkeypatch, tmp_path):
    after = [18.0, 19.0, 20.0] if slower else [12.0, 13.0, 14.0]

    def inference(rows, setting, rounds):
        costs = Cost(10, 10**9), Cost(8, 8 * 10**8)
        times = [14.0, 15.0, 16.0], after
        plain = Measurement(rows[0], setting, costs[0], times[0], saved_mb=100)
        narrow = Measurement(
            rows[1], setting, costs[1], times[1], saved_mb=110
        )
        return {rows[0]: plain, rows[1]: narrow}

    monkeypatch.setattr(bottleneck, 'inference', inference)
    result = check('bottleneck', tmp_path)
    found = {finding.claim.split()[1]: finding for finding in result.findings}
    assert found['multiply-adds'].here == '0.80'
    assert found['time'].paper == '1.29'
    assert found['time'].holds == slower
    assert found['memory'].here == '1.10'
    assert all(found[name].holds for name in ('multiply-adds', 'memory'))


def test_counts_differ_by_as_much_as_the_papers(tmp_path):
    """Heads are the same with and without: differences are the backbone's."""
    result = check('bottleneck', tmp_path, size=300, rounds=1, device='cpu')
    plain, narrow = result.rows
    for name, difference in (('GMACs', 1.0), ('params M', 1.1)):
        here = float(plain[name]) - float(narrow[name])
        paper = plain[f'{name}, paper'] - narrow[f'{name}, paper']
        assert round(paper, 1) == difference
        assert here == pytest.approx(difference, abs=0.1)
    *_, picture = result.write(tmp_path, 'bottleneck', 'x')
    assert picture.stat().st_size > 10_000
