import re
from pathlib import Path

import pytest
import torch
from benchmark import Setting, build_row
from benchmark.allocations import saved_bytes
from benchmark.memory import peak_memory

ROOT = Path(__file__).parents[3]


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


@pytest.mark.parametrize(
    ('row', 'modes'),
    [
        ('plain', ''),
        ('`memory_efficient`', '+memory_efficient'),
        ('`with_cp`', '+with_cp'),
        ('both', '+memory_efficient+with_cp'),
    ],
)
def test_six_cameras_keep_what_the_page_says(row, modes):
    page = (ROOT / 'docs' / 'detection3d.md').read_text()
    small, large = re.search(
        rf'^\| {row} \| (\S+) GB \| (\S+) GB', page, re.M
    ).groups()
    with torch.device('meta'):
        model = build_row(f'V-99-eSE+norm_eval{modes}')
        kept = saved_bytes(model, torch.rand(6, 3, 320, 800)) / 1e9
    assert f'{kept:.2f}' == small
    assert float(large) == pytest.approx(4 * kept, abs=0.01)
