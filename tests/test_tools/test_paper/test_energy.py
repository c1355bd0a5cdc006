import time
from types import SimpleNamespace

import pytest
import torch
from paper import check, energy
from paper.energy import Consumption, take_turns

ROWS = ('mmvovnet:PeleeNet', 'V-27-slim')


def test_idle_power_is_subtracted():
    use = Consumption(watts=100.0, idle=40.0, rate=20.0)
    assert (use.gross, use.net) == (5.0, 3.0)


@pytest.mark.parametrize('watts', [30.0, 90.0])
def test_verdict_comes_from_the_power(watts, monkeypatch, tmp_path):
    """PeleeNet takes 40 W more than an idle machine, at half the speed."""
    turns = iter([(10.0, 99.0), (50.0, 20.0), (watts, 40.0)] * 3)
    monkeypatch.setattr(energy, 'ROWS', ROWS)
    monkeypatch.setattr(energy, 'PAIRS', (ROWS[::-1],))
    monkeypatch.setattr(energy, 'power_meter', lambda device: lambda: 0.0)
    monkeypatch.setattr(energy, 'mean_power', lambda *args: next(turns))
    result = check('energy', tmp_path, size=32, batch=2, device='cpu')
    (finding,) = result.findings
    assert finding.paper == '0.38'
    assert finding.here == {30.0: '0.25', 90.0: '1.00'}[watts]
    assert finding.holds is {30.0: True, 90.0: None}[watts]
    pelee, ours = result.rows
    assert pelee['J/image'] == '1.00'
    assert pelee['J/image with idle power'] == '1.25'
    assert pelee['W idle'] == ours['W idle'] == '10.00'
    assert ours['J/image, paper'] == 0.9
    assert not list(turns)
    *_, picture = result.write(tmp_path, 'energy', 'x')
    assert picture.suffix == '.png' and picture.stat().st_size > 10_000


def test_power_is_sampled_while_a_network_runs():
    state = SimpleNamespace(watts=10.0)

    def forward():
        state.watts = 30.0
        time.sleep(0.02)
        state.watts = 10.0

    subject = SimpleNamespace(
        forward=forward,
        setting=SimpleNamespace(batch=8),
        x=torch.zeros(1),
        result=SimpleNamespace(row='V-39'),
    )
    uses = take_turns([subject], lambda: state.watts, 1, 0.4)
    (use,) = uses['V-39']
    assert use.idle == 10
    assert 10 < use.watts <= 30
    assert 0 < use.rate <= 8 / 0.02


def test_without_a_meter_it_says_what_is_needed(monkeypatch, tmp_path):
    monkeypatch.setattr(energy, 'power_meter', lambda device: None)
    result = check('energy', tmp_path, device='cpu')
    assert result.verdict == 'inconclusive'
    assert {finding.here for finding in result.findings} == {'needs RAPL'}
    assert 'powercap' in result.notes[0]
    assert {row['J/image'] for row in result.rows} == {'-'}
    paths = result.write(tmp_path, 'energy', 'x')
    assert [path.suffix for path in paths] == ['.md', '.csv']
    assert '![' not in paths[0].read_text()
