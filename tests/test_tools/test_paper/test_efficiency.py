import pytest
from benchmark import Measurement, Setting
from paper import check, efficiency
from paper.published import PAIRS, PUBLISHED, label

from mmvovnet.analysis.cost import Cost

ROWS = ('mmvovnet:PeleeNet', 'V-27-slim')


@pytest.fixture(autouse=True)
def two_rows(monkeypatch):
    monkeypatch.setattr(efficiency, 'ROWS', ROWS)
    monkeypatch.setattr(efficiency, 'PAIRS', (ROWS[::-1],))


def test_published_ratios():
    """The abstract's, of V-39 over ResNet-50 and over DenseNet-201."""
    rates = {label(row): found.rate for row, found in PUBLISHED.items()}
    assert round(rates['V-39'] / rates['ResNet-50'], 2) == 1.38
    assert round(rates['V-39'] / rates['DenseNet-201'], 2) == 2.75
    assert {row for pair in PAIRS for row in pair} <= set(PUBLISHED)


@pytest.mark.parametrize(
    ('ours', 'speedup', 'rate_here', 'verdict'),
    [
        ([10.0, 11.0, 12.0], '2.00', '91', True),
        ([30.0, 31.0, 32.0], '0.71 ± 0.02', '32', False),
        ([10.0, 22.0, 48.0], '1.00 ± 0.38', '45', None),
    ],
)
def test_verdicts_come_from_the_times(
    ours, speedup, rate_here, verdict, monkeypatch, tmp_path
):
    def inference(rows, setting, rounds):
        peer = Measurement(
            rows[0], setting, Cost(macs=10**9), [20.0, 22.0, 24.0]
        )
        mine = Measurement(rows[1], setting, Cost(macs=10**9), ours)
        peer.saved_mb, mine.saved_mb = 200.0, 100.0
        return {rows[0]: peer, rows[1]: mine}

    monkeypatch.setattr(efficiency, 'inference', inference)
    result = check('efficiency', tmp_path)
    rate, speed, memory = result.findings
    assert rate.paper == '9.30'
    assert rate.holds is speed.holds is verdict
    assert speed.here == speedup
    assert (memory.here, memory.holds) == ('0.50', True)
    assert result.rows[1]['GMAC/s'] == rate_here


def test_measured(tmp_path):
    result = check('efficiency', tmp_path, size=64, rounds=2, device='cpu')
    assert result.setting == Setting(
        1, 64, 'cpu', threads=result.setting.threads
    )
    pelee, ours = result.rows
    assert (pelee['backbone'], ours['backbone']) == ('PeleeNet', 'V-27-slim')
    assert (pelee['GMACs, paper'], ours['images/s, paper']) == (1.2, 71)
    assert ours['params M'] == '3.01'
    *_, picture = result.write(tmp_path, 'efficiency', 'x')
    assert picture.stat().st_size > 10_000
