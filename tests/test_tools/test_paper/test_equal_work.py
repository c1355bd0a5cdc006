import pytest
from benchmark import Measurement
from paper import check, equal_work

from mmvovnet.analysis.cost import Cost


@pytest.mark.parametrize('fast', [True, False])
@pytest.mark.parametrize('macs', [104, 106])
def test_verdicts_come_from_counts_and_times(
    fast, macs, monkeypatch, tmp_path
):
    def inference(rows, setting, rounds):
        other = [10.0, 11.0, 12.0] if fast else [30.0, 31.0, 32.0]
        times = dict(zip(rows, ([20.0, 22.0, 24.0], other), strict=True))
        costs = [
            Cost(macs=100, memory_access=30),
            Cost(macs=macs, memory_access=20),
        ]
        return {
            row: Measurement(row, setting, cost, times[row])
            for row, cost in zip(rows, costs, strict=True)
        }

    monkeypatch.setattr(equal_work, 'inference', inference)
    result = check('equal_work', tmp_path)
    work, access, speed = result.findings
    assert work.holds == (macs == 104)
    assert (access.here, access.holds) == ('0.67', True)
    assert speed.holds == fast
    assert [row['backbone'] for row in result.rows] == [
        'MobileNetV2',
        'ShuffleNetV2 1.5x',
    ]
    paths = result.write(tmp_path, 'equal_work', 'x')
    assert [path.suffix for path in paths] == ['.md', '.csv']
