import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from paper import CLAIMS, check
from paper.measured import DEVICE

# What the pages in docs/paper were made with.
DEFAULTS = {
    'memory_access': dict(size=224),
    'bottleneck': dict(size=300, batch=1, rounds=25, precision='fp32'),
    'efficiency': dict(size=320, batch=1, rounds=15, precision='fp32'),
    'energy': dict(size=320, batch=1, rounds=3, seconds=3, precision='fp32'),
    'equal_work': dict(size=224, batch=1, rounds=25, precision='fp32'),
    'cifar': dict(data='digits', seeds=5, looks=1),
    'weights': dict(data='digits', seeds=5),
    'residual': dict(seeds=5, looks=1),
    'centermask': dict(seeds=3),
}

TOOLS = Path(__file__).parents[3] / 'tools'


@pytest.mark.parametrize('name', CLAIMS)
def test_every_claim_has_a_check_with_defaults(name):
    module = importlib.import_module(f'paper.{name}')
    parameters = inspect.signature(module.check).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty]
    trains = name in ('centermask', 'cifar', 'weights', 'residual')
    assert needed == ['out_dir'] * trains
    chosen = {
        p.name: p.default
        for p in parameters
        if p.default not in (p.empty, None, DEVICE)
    }
    assert chosen == DEFAULTS[name]


def test_claims_are_imported_when_they_run():
    code = (
        'import sys, paper as c; '
        'sys.exit(any(f"{c.__name__}.{x}" in sys.modules for x in c.CLAIMS))'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=TOOLS)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ('name', 'options', 'match'),
    [
        ('speed', {}, "unknown claim 'speed'; choose one of memory_access"),
        (
            'memory_access',
            {'sise': 64},
            r"no options \['sise'\]; it has \['size'\]",
        ),
    ],
)
def test_wrong_names(name, options, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        check(name, tmp_path, **options)
