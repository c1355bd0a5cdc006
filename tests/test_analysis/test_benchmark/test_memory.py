from pathlib import Path

import pytest

from mmvovnet.analysis.benchmark import Setting
from mmvovnet.analysis.benchmark.memory import peak_memory


@pytest.mark.slow
@pytest.mark.skipif(
    not Path('/proc/self/status').exists(), reason='needs /proc'
)
def test_peak_memory_in_a_process_of_its_own():
    setting = Setting(4, 128)
    plain = peak_memory('V-27-slim', setting)
    saving = peak_memory('V-27-slim+memory_efficient', setting)
    assert 0 < saving < plain
    assert peak_memory('V-27-slim', setting, stock=True) > 0
