import pytest
from benchmark import comparison, rows
from torch import nn


@pytest.fixture
def small(monkeypatch):
    """Two small models, from a source of their own."""

    def net(width):
        return nn.Sequential(nn.Conv2d(3, int(width), 3), nn.ReLU())

    monkeypatch.setitem(rows.SOURCES, 'test', net)
    # A child process does not know this source.
    monkeypatch.setattr(comparison, 'peak_memory', lambda *args: 1.0)
    return ['test:4', 'test:8']
