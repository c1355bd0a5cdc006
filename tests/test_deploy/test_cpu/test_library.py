import os
import stat
import subprocess
import sys

import pytest

from mmvovnet.deploy.cpu import library
from mmvovnet.deploy.cpu.library import compile_once, private_folder

COMPILER = """#!{python}
import sys
if '--version' in sys.argv:
    print('{version}')
else:
    with open('{log}', 'a') as log:
        log.write('x')
    with open(sys.argv[sys.argv.index('-o') + 1], 'wb') as file:
        file.write(b'code' * 100)
"""


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A compiler, and how often it ran."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    path, log = tmp_path / 'cxx', tmp_path / 'log'

    def make(version='1.0'):
        path.write_text(
            COMPILER.format(python=sys.executable, version=version, log=log)
        )
        path.chmod(0o700)

    make()
    source = tmp_path / 'kernels.cpp'
    source.write_text('int x;')

    def compiled(*flags):
        return compile_once([str(path), *flags], source, 'torch 2')

    compiled.runs = lambda: len(log.read_text()) if log.exists() else 0
    compiled.update = make
    compiled.source = source
    return compiled


def test_compiled_once(compiler):
    first = compiler()
    assert compiler() == first and compiler.runs() == 1
    assert first.read_bytes().startswith(b'code' * 100)


def test_all_that_it_depends_on_is_in_its_name(compiler):
    names = {compiler(), compiler('-O3')}
    compiler.update(version='1.1')
    names.add(compiler())
    compiler.source.write_text('int y;')
    names.add(compiler())
    assert len(names) == 4 == compiler.runs()


@pytest.mark.parametrize(
    'harm',
    [
        lambda path: path.write_bytes(b''),
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: path.write_bytes(b'X' + path.read_bytes()[1:]),
        lambda path: path.chmod(0o777),
        lambda path: (
            path.rename(path.with_suffix('.x'))
            and path.symlink_to(path.with_suffix('.x'))
        ),
    ],
    ids=['empty', 'torn', 'changed', 'writable', 'link'],
)
def test_what_is_not_whole_or_ours_is_compiled_again(
    compiler, harm, monkeypatch
):
    said = []
    monkeypatch.setattr(
        library, 'print_log', lambda message, **_: said.append(message)
    )
    path = compiler()
    whole = path.read_bytes()
    harm(path)
    assert compiler() == path and compiler.runs() == 2
    assert path.read_bytes() == whole and not path.is_symlink()
    assert str(path) in said[0] and 'compiled again' in said[0]


def test_nobody_else_may_write(compiler):
    umask = os.umask(0)
    try:
        path = compiler()
    finally:
        os.umask(umask)
    for made in (path, path.parent, path.parent.parent):
        assert not stat.S_IMODE(made.stat().st_mode) & 0o077
    path.parent.chmod(0o777)  # as it was made before
    compiler()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason='only root gives files away')
def test_files_of_others(compiler, tmp_path):
    path = compiler()
    os.chown(path, 12345, 12345)
    assert compiler() == path and compiler.runs() == 2
    os.chown(path.parent, 12345, 12345)
    with pytest.raises(PermissionError, match='another user.*XDG_CACHE_HOME'):
        compiler()
    with pytest.raises(PermissionError):
        private_folder(path.parent)


def test_no_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    with pytest.raises(FileNotFoundError, match='no compiler.*in CXX'):
        compile_once(['no-such-c++'], tmp_path / 'a.cpp', '')


def test_a_failed_build_leaves_nothing(compiler, tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        compile_once(['false'], compiler.source, '')
    assert not [*(tmp_path / 'cache').rglob('*.so')]
