import time

import pytest
from benchmark import (
    Measurement,
    Setting,
    Subject,
    comparison,
    measure,
    table,
)

from mmvovnet.analysis.cost import Cost


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
    monkeypatch.setattr(comparison, 'energy_meter', lambda device: None)
    (result,) = measure(small[:1], Setting(2, 16), 1, False)
    columns = result.columns()
    for column in ('step ms', 'saved MB', 'peak MB', 'J/image'):
        assert columns[column] == '-'


def test_ratios_are_to_the_first_row_of_a_setting():
    def result(row, size, times, saved):
        setting = Setting(1, size)
        return Measurement(row, setting, Cost(1), times, saved_mb=float(saved))

    rows = table(
        [
            result('a', 32, [10.0, 20.0, 30.0], 100),
            result('b', 32, [11.9, 24.0, 36.0], 40),
            result('c', 32, [12.0, 19.0, 30.0], 90),
            result('d', 64, [50.0, 60.0, 70.0], 300),
        ]
    )
    assert [row['forward ms, ratio'] for row in rows] == [
        '1.00',
        '1.20',
        '~1.00',
        '1.00',
    ]
    assert [row['saved MB, ratio'] for row in rows] == [
        '1.00', '0.40', '0.90', '1.00'
    ]  # fmt: skip
    assert 'step ms' not in rows[0]  # nothing was trained


def test_memory_is_measured_in_training_alone(small, monkeypatch):
    monkeypatch.setattr(Subject, 'forward', None)
    results = measure(small, Setting(2, 16), 2, memory=True)
    assert all(r.stock_peak_mb == 1.0 and len(r.step_ms) == 2 for r in results)


def test_a_row_is_warmed_in_its_turn(small, monkeypatch):
    order = []
    monkeypatch.setattr(
        Subject, 'forward', lambda self: order.append(self.result.row)
    )
    monkeypatch.setattr(comparison, 'joules', lambda subject: None)
    measure(small, Setting(2, 16), 2, False)
    assert order == [row for row in small for _ in range(2)] * 2


def test_a_step_trains_after_inference(small):
    subject = Subject(small[0], Setting(2, 16))
    subject.forward()
    assert not subject.model.training
    subject.step()
    assert subject.model.training
    assert all(p.grad is not None for p in subject.model.parameters())


def test_energy_is_divided_by_images(small, monkeypatch):
    class Meter:
        joules = 0.0

        def __call__(self):
            self.joules += 3
            return self.joules

    monkeypatch.setattr(comparison, 'energy_meter', lambda device: Meter())
    monkeypatch.setattr(
        comparison.time, 'perf_counter', iter(range(99)).__next__
    )
    subject = Subject(small[0], Setting(2, 16))
    # The clock gives one pass of two images in two seconds.
    assert comparison.joules(subject, seconds=3) == 1.5


def test_a_first_step_is_timed_and_a_compiled_row_has_no_peak(
    small, monkeypatch
):
    monkeypatch.setattr(Subject, 'step', lambda self: time.sleep(0.01))
    plain, compiled = measure(
        [small[0], f'{small[1]}+compile'], Setting(2, 16), 1
    )
    assert plain.first_step_s >= 0.01 <= compiled.first_step_s
    assert plain.peak_mb == 1.0
    assert compiled.peak_mb is compiled.saved_mb is None
