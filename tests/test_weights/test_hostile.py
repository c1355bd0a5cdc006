import pytest

from . import hostile
from .forked import forked

SECONDS, MEGABYTES = 10, 1000


@pytest.mark.parametrize('make', hostile.HARMFUL, ids=lambda f: f.__name__)
def test_harms_nobody(make, tmp_path):
    path = tmp_path / f'{make.__name__}.pth'
    make(path)
    outcome = forked(hostile.judge, path)
    assert isinstance(outcome, list), outcome
    said, seconds, megabytes = outcome
    assert said.startswith(('CheckpointError', 'UnsafeCheckpointError')), said
    assert path.name in said and '\n' not in said and len(said) < 1000
    assert seconds < SECONDS
    assert megabytes < MEGABYTES + path.stat().st_size / 2**20
    if make is hostile.long_directory:
        assert 'its directory takes 18800000 bytes' in said
