import os
import subprocess
import sys

import pytest
import torch

from mmvovnet.deploy.cpu import library

COMPILER = """#!{python}
import sys
with open('{log}', 'a') as log:
    log.write('x')
with open(sys.argv[sys.argv.index('-o') + 1], 'wb') as file:
    file.write(b'code' * 100)
"""


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A compiler, and how often it ran."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(
        torch.backends.cpu, 'get_cpu_capability', lambda: 'AVX2'
    )
    path, log = tmp_path / 'cxx', tmp_path / 'log'
    path.write_text(COMPILER.format(python=sys.executable, log=log))
    path.chmod(0o700)

    def compiled(*flags):
        monkeypatch.setenv('CXX', ' '.join([str(path), *flags]))
        return library.compile_kernels()

    compiled.runs = lambda: len(log.read_text()) if log.exists() else 0
    return compiled


def test_compiled_once(compiler):
    first = compiler()
    assert compiler() == first and compiler.runs() == 1
    assert first.read_bytes().startswith(b'code' * 100)


def test_all_that_it_depends_on_is_in_its_name(compiler, monkeypatch):
    names = {compiler(), compiler('-g')}
    monkeypatch.setattr(torch, '__version__', '2')
    names.add(compiler())
    assert len(names) == 3 == compiler.runs()


@pytest.mark.parametrize(
    'give',
    [
        lambda folder: folder.chmod(0o777),
        pytest.param(
            lambda folder: os.chown(folder, 12345, 12345),
            marks=pytest.mark.skipif(
                os.geteuid() != 0, reason='only root gives files away'
            ),
        ),
    ],
    ids=['writable', 'owned'],
)
def test_code_of_others_is_not_loaded(compiler, give):
    umask = os.umask(0)
    try:
        folder = compiler().parent
    finally:
        os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o700
    give(folder)
    with pytest.raises(PermissionError, match='other users.*XDG_CACHE_HOME'):
        compiler()


def test_no_compiler(compiler, monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-c++')
    with pytest.raises(FileNotFoundError, match=r'no compiler.*in CXX'):
        library.compile_kernels()


def test_a_failed_build_leaves_nothing(compiler, tmp_path, monkeypatch):
    monkeypatch.setenv('CXX', 'false')
    with pytest.raises(subprocess.CalledProcessError):
        library.compile_kernels()
    assert not [*(tmp_path / 'cache').rglob('*.so')]
