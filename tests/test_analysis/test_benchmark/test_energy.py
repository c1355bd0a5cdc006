from mmvovnet.analysis.benchmark import Setting, Subject, energy


def test_energy_is_divided_by_images(small, monkeypatch):
    class Meter:
        joules = 0.0

        def __call__(self):
            self.joules += 3
            return self.joules

    monkeypatch.setattr(energy, 'energy_meter', lambda device: Meter())
    monkeypatch.setattr(energy.time, 'perf_counter', iter(range(99)).__next__)
    subject = Subject(small[0], Setting(2, 16))
    # The clock gives one pass of two images in two seconds.
    assert energy.joules(subject, seconds=3) == 1.5
