import json
import os
import subprocess
import sys

import pytest

SEEDS = range(20)


def fuzz(seed, count):
    """Counts of what came of random pickles, in a process of their own."""
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'tests.test_weights.fuzz'),
            *(str(seed), str(count)),
        ],
        capture_output=True,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
    )
    assert not done.returncode, f'seed {seed}: {done.returncode} {done.stderr}'
    return json.loads(done.stdout)


def check(found, count):
    assert found['loaded'] + found['refused'] + found['damaged'] == count
    assert min(found['loaded'], found['refused'], found['damaged']) > (
        0.05 * count
    )
    assert found['slowest'] < 10 and found['megabytes'] < 1000


def test_some_hundred_pickles():
    check(fuzz(seed=0, count=300), 300)


@pytest.mark.slow
@pytest.mark.parametrize('seed', SEEDS)
def test_twenty_thousand_pickles(seed):
    check(fuzz(seed, count=1000), 1000)
