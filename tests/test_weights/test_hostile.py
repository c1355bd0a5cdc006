import json
import os
import subprocess
import sys

import pytest

from . import hostile


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory):
    """What came of loading each file, in a process of its own."""
    folder = tmp_path_factory.mktemp('hostile')
    sizes = {}
    for make in hostile.HARMFUL:
        path = folder / f'{make.__name__}.pth'
        make(path)
        sizes[make.__name__] = path.stat().st_size
    done = subprocess.run(
        [sys.executable, '-m', 'tests.test_weights.hostile', str(folder)],
        capture_output=True,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
    )
    assert not done.returncode, done.stderr
    found = json.loads(done.stdout)
    for name, size in sizes.items():
        found[f'{name}.pth']['size'] = size
    return found


@pytest.mark.parametrize('make', hostile.HARMFUL, ids=lambda f: f.__name__)
def test_harms_nobody(outcomes, make):
    name = f'{make.__name__}.pth'
    outcome = outcomes[name]
    said = outcome['said']
    assert said.startswith(('CheckpointError', 'UnsafeCheckpointError')), said
    assert name in said and '\n' not in said and len(said) < 1000
    assert outcome['seconds'] < hostile.SECONDS
    assert outcome['megabytes'] < hostile.MEGABYTES + outcome['size'] / 2**20


def test_a_long_directory_is_not_read(outcomes):
    said = outcomes['long_directory.pth']['said']
    assert 'its directory takes 18800000 bytes' in said
