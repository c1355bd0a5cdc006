import pytest

from mmvovnet.analysis.benchmark import Setting, Subject, energy, measure


def test_inference_modes_do_not_train():
    with pytest.raises(ValueError, match='--inference'):
        measure(['V-39+fuse'], Setting(1, 64))


def test_rows_take_turns(small, monkeypatch):
    order = []
    step = Subject.step

    def note(self):
        order.append(self.result.row)
        step(self)

    monkeypatch.setattr(Subject, 'step', note)
    results = measure(small, Setting(2, 16), rounds=3)
    assert order == small * 4  # three rounds and a warm-up
    assert all(len(r.forward_ms) == len(r.step_ms) == 3 for r in results)
    # The batch, which the conv keeps, and the result of the activation.
    assert [r.saved_mb * 1e6 for r in results] == [
        2 * 4 * (3 * 16 * 16 + width * 14 * 14) for width in (4, 8)
    ]


def test_what_cannot_be_measured_is_a_dash(small, monkeypatch):
    monkeypatch.setattr(energy, 'energy_meter', lambda device: None)
    (result,) = measure(small[:1], Setting(2, 16), 1, False)
    columns = result.columns()
    for column in ('step ms', 'saved MB', 'peak MB', 'J/image'):
        assert columns[column] == '-'
