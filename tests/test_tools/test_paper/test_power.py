import sys
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from paper import power
from paper.power import Sampler, mean_power, power_meter


def test_samples_are_spaced_and_end_with_the_block():
    times = []
    with Sampler(lambda: times.append(time.perf_counter()) or 5.0, 0.02) as s:
        time.sleep(0.2)
    count = len(times)
    time.sleep(0.05)
    assert len(times) == count
    assert s.watts == [5.0] * (count - 1)  # the first read is no sample
    assert min(b - a for a, b in pairwise(times)) >= 0.015


def test_mean_over_the_work():
    watts = iter([1000.0, *[40.0, 60.0] * 50])  # the first is not used
    mean, rate = mean_power(lambda: next(watts), lambda: time.sleep(0.01), 0.5)
    assert 40 <= mean <= 60
    assert 0 < rate <= 100
    with pytest.raises(ValueError, match=r'seconds=0.1 is too short'):
        mean_power(lambda: 1.0, lambda: None, 0.1)


def test_rapl_tells_the_mean_since_the_last_call(monkeypatch):
    joules = iter([0.0, 10.0, 40.0, 5.0, 25.0])  # it wraps before 5
    clock = iter([0.0, 1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(power, 'energy_meter', lambda d: lambda: next(joules))
    monkeypatch.setattr(power.time, 'perf_counter', lambda: next(clock))
    read = power_meter('cpu')
    assert [read() for _ in range(4)] == [10, 30, 30, 20]


def test_no_meter(monkeypatch):
    monkeypatch.setattr(power, 'energy_meter', lambda device: None)
    assert power_meter('cpu') is None
    monkeypatch.setitem(sys.modules, 'pynvml', None)
    assert power_meter('cuda') is None


def test_a_gpu_is_asked_for_its_power(monkeypatch):
    class NVMLError(Exception):
        pass

    def unsupported(device):
        raise NVMLError

    pynvml = SimpleNamespace(NVMLError=NVMLError)
    monkeypatch.setitem(sys.modules, 'pynvml', pynvml)
    milliwatts = {'cuda:1': 75_500}
    monkeypatch.setattr(torch.cuda, 'power_draw', milliwatts.get)
    assert power_meter('cuda:1')() == 75.5
    monkeypatch.setattr(torch.cuda, 'power_draw', unsupported)
    assert power_meter('cuda:1') is None
