import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location(
    'install_mmcv', ROOT / 'tools' / 'install_mmcv.py'
)
install_mmcv = importlib.util.module_from_spec(spec)
spec.loader.exec_module(install_mmcv)
InstallError = install_mmcv.InstallError

SETUP = """
extra = ['-std=c++17'] if linux else ['/std:c++17']
nvcc += ['-std=c++17']
old = ['-std=c++14']
"""


@pytest.fixture
def cache(tmp_path):
    return tmp_path / 'cache'


@pytest.fixture
def python_build(monkeypatch):
    """Let ``pip wheel`` be a Python program with the wheel folder in argv."""

    def use(program):
        monkeypatch.setattr(
            install_mmcv,
            'pip',
            lambda *args: [sys.executable, '-uc', program, *args],
        )

    return use


TOOLS = str(ROOT / 'tools')


def make_wheel(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('mmcv/__init__.py', 'x = 1\n' * 1000)
    return path


@pytest.mark.parametrize(
    ('header', 'text', 'standard'),
    [
        ('ATen/ATen.h', '__cplusplus < 202002L', 'c++20'),
        ('ATen/ATen.h', '__cplusplus < 201703L', 'c++17'),
        ('c10/util/C++17.h', '__cplusplus < 201703L', 'c++17'),
        ('ATen/ATen.h', '__cplusplus < 202302L', 'c++23'),
        ('ATen/other.h', '', 'c++17'),
    ],
)
def test_required_standard(tmp_path, header, text, standard):
    path = tmp_path / header
    path.parent.mkdir(parents=True)
    path.write_text(f'#if !defined(_MSC_VER) && {text}\n#error\n#endif')
    assert install_mmcv.required_standard(tmp_path) == standard


def test_required_standard_of_the_installed_torch():
    include = Path(torch.__file__).parent / 'include'
    standard = install_mmcv.required_standard(include)
    assert standard in ('c++17', 'c++20', 'c++23')
    if tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 14):
        assert standard == 'c++20'


def test_set_standard_changes_nothing_else(tmp_path):
    setup = tmp_path / 'setup.py'
    setup.write_text(SETUP)
    install_mmcv.set_standard(setup, 'c++20')
    assert setup.read_text() == SETUP.replace('c++17', 'c++20')
    with pytest.raises(InstallError, match='setup.py'):
        install_mmcv.set_standard(setup, 'c++23')


def test_cache_name_holds_what_decides(monkeypatch):
    name = install_mmcv.cache_name({})
    python = f'cp{sys.version_info.major}{sys.version_info.minor}'
    for part in ('mmcv-2.1.0', python, f'torch{torch.__version__}'):
        assert part in name
    monkeypatch.setattr(torch.version, 'cuda', '13.0')
    cuda = install_mmcv.cache_name(
        {'FORCE_CUDA': '1', 'TORCH_CUDA_ARCH_LIST': '8.0;9.0+PTX'}
    )
    assert 'cuda13.0-sm8.0_9.0+PTX' in cuda
    assert cuda != name
    assert '/' not in cuda


# What can be missing


def test_no_compiler():
    with pytest.raises(InstallError, match=r"'no-such-c\+\+'.*apt-get"):
        install_mmcv.check_toolchain('c++20', {'CXX': 'no-such-c++'})


def test_old_compiler(tmp_path):
    compiler = tmp_path / 'c++'
    compiler.write_text('#!/bin/sh\necho "bad -std=c++20" >&2\nexit 1\n')
    compiler.chmod(0o755)
    with pytest.raises(InstallError, match=r'g\+\+ 11 or newer'):
        install_mmcv.check_toolchain('c++20', {'CXX': str(compiler)})


@pytest.mark.skipif(not shutil.which('c++'), reason='there is no compiler')
def test_no_python_headers(monkeypatch, tmp_path):
    monkeypatch.setattr(
        install_mmcv.sysconfig, 'get_path', lambda name: str(tmp_path)
    )
    with pytest.raises(
        InstallError, match=r'apt-get install python3\.\d+-dev'
    ):
        install_mmcv.check_toolchain('c++17', {})


def test_no_pkg_resources(monkeypatch):
    monkeypatch.setattr(
        install_mmcv.importlib.util, 'find_spec', lambda name: None
    )
    with pytest.raises(InstallError, match='setuptools>='):
        install_mmcv.check_toolchain('c++20', {})


def make_toolkit(home, version):
    nvcc = home / 'bin' / 'nvcc'
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(
        f'#!/bin/sh\necho "#$ TOP={home}" >&2\necho "release {version}, V"\n'
    )
    nvcc.chmod(0o755)
    return home


def test_cuda_home_is_taken_or_refused(tmp_path, cache, monkeypatch):
    def find(home):
        return install_mmcv.cuda_toolkit({'CUDA_HOME': str(home)}, cache)

    monkeypatch.setattr(torch.version, 'cuda', '13.0')
    with pytest.raises(InstallError, match=r'has no bin/nvcc.*unset it'):
        find(tmp_path)
    other = make_toolkit(tmp_path / '12', '12.4')
    with pytest.raises(InstallError, match=r'CUDA 12\.4, and torch .* 13\.0'):
        find(other)
    same = make_toolkit(tmp_path / '13', '13.1')
    assert find(same) == str(same)
    monkeypatch.setattr(torch.version, 'cuda', None)
    with pytest.raises(InstallError, match='without CUDA'):
        find(same)


FAKE_PIP = """
import pathlib, sys
home = pathlib.Path(sys.argv[sys.argv.index('--target') + 1], 'nvidia/cu99')
for name in ('lib/libcudart.so.99', 'bin/nvcc'):
    (home / name).parent.mkdir(parents=True)
    (home / name).write_text('#!/bin/sh\\necho release 99.1')
    (home / name).chmod(0o755)
assert 'nvidia-cuda-nvcc==99.1.*' in sys.argv
"""


def test_without_a_toolkit_pip_brings_one(
    tmp_path, cache, monkeypatch, python_build, capsys
):
    monkeypatch.setattr(torch.version, 'cuda', '99.1')
    old = make_toolkit(tmp_path / 'old', '98.0')
    environ = {'PATH': f'{old}/bin:/usr/bin:/bin'}
    python_build('print("no matching distribution"); raise SystemExit(1)')
    with pytest.raises(InstallError, match='set CUDA_HOME.*\n.*no matching'):
        install_mmcv.cuda_toolkit(environ, cache)
    assert [path.name for path in cache.iterdir()] == ['lock']
    python_build(FAKE_PIP)
    for _ in range(2):  # the second time it is there
        home = Path(install_mmcv.cuda_toolkit(environ, cache))
        python_build('raise SystemExit(1)')
    assert home.is_relative_to(cache)
    assert (home / 'lib64' / 'libcudart.so').resolve().name[-2:] == '99'
    assert capsys.readouterr().out.count(str(home.parents[1])) == 2
    make_toolkit(tmp_path / 'new', '99.0')
    environ = {'PATH': f'{tmp_path}/new/bin:/usr/bin:/bin'}
    found = install_mmcv.cuda_toolkit(environ, cache)
    assert found == str(tmp_path / 'new')


def test_pip_has_no_compiler_of_cuda_12(cache):
    with pytest.raises(InstallError, match='or a torch of CUDA 13'):
        install_mmcv.pip_toolkit('12.8', cache)


@pytest.mark.skipif(not shutil.which('g++'), reason='there is no g++')
def test_headers_are_compiled_once(tmp_path):
    (tmp_path / 'common.h').write_text('#pragma once\nint f() { return 7; }')
    (tmp_path / 'main.cpp').write_text(
        '#include "common.h"\nint main() { return f() + EXTRA; }'
    )
    compiler = install_mmcv.precompile_headers(tmp_path, ('common.h',), {})
    flags = ['-MMD', '-MF', 'main.o.d', '-DEXTRA=2', '-H', f'-I{tmp_path}']
    for _ in range(2):
        done = run_in(
            tmp_path, compiler, *flags, '-c', '-c', 'main.cpp', '-o', 'main.o'
        )
        assert f'! {tmp_path}/common.hpp.gch' in done.stderr
    (made,) = tmp_path.glob('*.gch')
    first = made.stat().st_mtime_ns
    run_in(tmp_path, compiler, *flags, '-c', 'main.cpp', '-o', 'main.o')
    assert made.stat().st_mtime_ns == first
    run_in(tmp_path, compiler, 'main.o', '-o', 'main')
    assert subprocess.run([tmp_path / 'main']).returncode == 9


@pytest.mark.skipif(not shutil.which('g++'), reason='there is no g++')
def test_headers_that_do_not_compile_alone_are_left(tmp_path):
    (tmp_path / 'main.cpp').write_text('int main() { return 3; }')
    compiler = install_mmcv.precompile_headers(tmp_path, ('missing.h',), {})
    run_in(tmp_path, compiler, '-c', 'main.cpp', '-o', 'main.o')
    run_in(tmp_path, compiler, 'main.o', '-o', 'main')
    assert subprocess.run([tmp_path / 'main']).returncode == 3


def test_other_compilers_stay_as_they_are(tmp_path):
    other = tmp_path / 'clang++'
    other.write_text('#!/bin/sh\necho clang version 19')
    other.chmod(0o700)
    environ = {'CXX': str(other)}
    assert install_mmcv.precompile_headers(tmp_path, (), environ) == str(other)


def run_in(folder, *command):
    return subprocess.run(
        command, cwd=folder, text=True, capture_output=True, check=True
    )


def test_no_source(tmp_path, python_build):
    python_build('print("no matching distribution"); raise SystemExit(1)')
    with pytest.raises(InstallError, match='--sdist.*\n.*no matching'):
        install_mmcv.fetch_source(None, tmp_path)


def test_broken_source(tmp_path):
    sdist = tmp_path / 'mmcv-2.1.0.tar.gz'
    sdist.write_bytes(b'<html>not found</html>')
    with pytest.raises(InstallError, match='download it again'):
        install_mmcv.fetch_source(sdist, tmp_path)


def test_full_disk(cache, monkeypatch):
    usage = shutil.disk_usage(cache.parent)._replace(free=2**20)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    with (
        pytest.raises(InstallError, match=r'0\.0 GiB free'),
        install_mmcv.workspace(cache),
    ):
        pass
    assert not list(cache.glob('build-*'))


@pytest.mark.parametrize(
    ('program', 'message'),
    [
        ('import os; os.kill(os.getpid(), 9)', 'killed'),
        (
            'print("c++: fatal error: Killed signal terminated program");'
            'raise SystemExit(1)',
            'MAX_JOBS=1',
        ),
        (
            'print("write error: No space left on device");'
            'raise SystemExit(1)',
            'the disk is full',
        ),
        (
            'print("nms.cpp:1: error: no such thing"); raise SystemExit(1)',
            'the build failed.*\n.*no such thing',
        ),
    ],
)
def test_failed_build_leaves_nothing(
    cache, monkeypatch, python_build, program, message
):
    source = cache.parent / 'mmcv-2.1.0'
    source.mkdir()
    (source / 'setup.py').write_text(SETUP)
    monkeypatch.setattr(
        install_mmcv, 'fetch_source', lambda sdist, folder: source
    )
    monkeypatch.setattr(install_mmcv, 'check_toolchain', lambda *args: None)
    python_build(program)
    with pytest.raises(InstallError, match=message):
        install_mmcv.cached_wheel(cache)
    assert {p.name for p in cache.rglob('*')} == {'lock', 'mmcv-build.log'}


def test_build_shows_progress_and_is_cached(
    cache, monkeypatch, python_build, capsys
):
    source = cache.parent / 'mmcv-2.1.0'
    source.mkdir()
    (source / 'setup.py').write_text(SETUP)
    monkeypatch.setattr(
        install_mmcv, 'fetch_source', lambda sdist, folder: source
    )
    monkeypatch.setattr(install_mmcv, 'check_toolchain', lambda *args: None)
    python_build(
        'import sys, zipfile\n'
        'print("  [1/2] c++ a.cpp")\n'
        'print("  [2/2] c++ b.cpp")\n'
        'folder = sys.argv[sys.argv.index("--wheel-dir") + 1]\n'
        'name = folder + "/mmcv-2.1.0-cp311-cp311-linux_x86_64.whl"\n'
        'zipfile.ZipFile(name, "w").writestr("a", "b")\n'
    )
    wheel = install_mmcv.cached_wheel(cache)
    assert 'compiled 2/2 files' in capsys.readouterr().out
    assert list(cache.rglob('*.whl')) == [wheel]

    python_build('raise SystemExit(1)')
    assert install_mmcv.cached_wheel(cache) == wheel


def test_damaged_wheel_is_built_again(cache, monkeypatch, capsys):
    home = cache / install_mmcv.cache_name(os.environ)
    wheel = make_wheel(home / 'mmcv-2.1.0-py3-none-any.whl')
    assert install_mmcv.cached_wheel(cache) == wheel
    wheel.write_bytes(wheel.read_bytes()[:200])

    def no_source(sdist, folder):
        raise InstallError('no source')

    monkeypatch.setattr(install_mmcv, 'fetch_source', no_source)
    monkeypatch.setattr(install_mmcv, 'check_toolchain', lambda *args: None)
    with pytest.raises(InstallError, match='no source'):
        install_mmcv.cached_wheel(cache)
    assert 'is damaged' in capsys.readouterr().out
    assert not wheel.exists()


def test_what_a_killed_build_left_is_removed(cache):
    dead = cache / 'build-4711'
    dead.mkdir(parents=True)
    with install_mmcv.workspace(cache) as folder:
        assert folder.exists() and not dead.exists()
        code = (
            f'import sys; sys.argv = ["x"]; sys.path.insert(0, {TOOLS!r});'
            'import install_mmcv, pathlib;'
            f'c = install_mmcv.workspace(pathlib.Path({str(cache)!r}));'
            'c.__enter__()'
        )
        other = subprocess.Popen(
            [sys.executable, '-c', code], stdout=subprocess.PIPE, text=True
        )
        assert 'waiting' in other.stdout.readline()
        assert folder.exists()
    assert not other.wait(timeout=30) and not folder.exists()


def test_others_files_are_not_taken(cache, monkeypatch, capsys):
    home = cache / install_mmcv.cache_name(os.environ)
    wheel = make_wheel(home / 'mmcv-2.1.0-py3-none-any.whl')
    make_wheel(home / 'another-1.0-py3-none-any.whl')
    home.chmod(0o777)
    wheel.chmod(0o666)
    assert install_mmcv.kept_wheel(home) is None
    assert "not its user's alone" in capsys.readouterr().out
    assert home.stat().st_mode & 0o777 == 0o700
    planted = make_wheel(cache / 'planted.whl')
    wheel.symlink_to(planted)
    assert install_mmcv.kept_wheel(home) is None


@pytest.mark.skipif(os.geteuid() != 0, reason='only root gives files away')
def test_a_cache_of_another_user(cache):
    cache.mkdir()
    os.chown(cache, 12345, 12345)
    with pytest.raises(InstallError, match='another user'):
        install_mmcv.cached_wheel(cache)


def test_a_source_that_was_not_published(tmp_path):
    sdist = tmp_path / 'mmcv-2.1.0.tar.gz'
    with tarfile.open(sdist, 'w:gz') as archive:
        archive.add(__file__, 'mmcv-2.1.0/setup.py')
    with pytest.raises(InstallError, match='SHA-256.*not d387bcab'):
        install_mmcv.fetch_source(sdist, tmp_path)
    assert not (tmp_path / 'mmcv-2.1.0').exists()


def test_modules_in_the_temporary_folder_do_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    (tmp_path / 'torch.py').write_text('')
    code = 'import importlib.util as u; print(u.find_spec("torch").origin)'
    assert install_mmcv.run_code(code).stdout.strip() == torch.__file__
    ran = []
    monkeypatch.setattr(
        install_mmcv,
        'run_code',
        lambda code: (
            ran.append(code) or subprocess.CompletedProcess([], 0, '', '')
        ),
    )
    install_mmcv.smoke_test()
    assert len(ran) == 1 and 'nms' in ran[0]


def test_the_log_is_in_the_cache(cache, tmp_path, python_build, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    victim = tmp_path / 'victim'
    (tmp_path / 'mmcv-build.log').symlink_to(victim)
    python_build('print("error: no"); raise SystemExit(1)')
    with (
        pytest.raises(InstallError, match=f'{cache}/mmcv-build.log'),
        install_mmcv.workspace(cache) as folder,
    ):
        install_mmcv.build_wheel(tmp_path, folder, os.environ)
    assert 'error: no' in (cache / 'mmcv-build.log').read_text()
    assert not victim.exists()


# The command


def test_nothing_to_do(capsys):
    pytest.importorskip('mmcv.ops', reason='mmcv has no ops')
    assert install_mmcv.main([]) == 0
    assert 'nothing to do' in capsys.readouterr().out


def test_the_smoke_test_fails_where_ops_are_wrong(monkeypatch):
    ops = pytest.importorskip('mmcv.ops', reason='mmcv has no ops')
    monkeypatch.setattr(ops, 'nms', lambda *args, **_: (None, torch.arange(3)))
    with pytest.raises(AssertionError, match=r'nms on cpu: \[0, 1, 2\]'):
        exec(install_mmcv.SMOKE_TEST.format(cuda=False), {})
    failed = subprocess.CompletedProcess([], 1, '', 'first\nlast\n')
    monkeypatch.setattr(install_mmcv, 'run_code', lambda code: failed)
    assert install_mmcv.smoke_test() == 'last'


def test_one_message_and_status_1(cache, capsys, monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-c++')
    assert install_mmcv.main(['--wheel-only', '--cache', str(cache)]) == 1
    error = capsys.readouterr().err
    assert error.startswith('mmcv was not installed: there is no C++ compiler')
    assert len(error.splitlines()) == 1


@pytest.fixture(scope='module')
def pip_toolkit(tmp_path_factory):
    if not (torch.version.cuda or '').startswith('13'):
        pytest.skip('torch is not of CUDA 13')
    try:
        return install_mmcv.pip_toolkit(
            torch.version.cuda, tmp_path_factory.mktemp('cuda')
        )
    except InstallError as error:
        pytest.skip(str(error))


BIND = """
#include <torch/extension.h>
#include "pytorch_cpp_helper.hpp"
#include "pytorch_device_registry.hpp"
Tensor nms(Tensor boxes, Tensor scores, float iou_threshold, int offset);
Tensor NMSCUDAKernelLauncher(Tensor boxes, Tensor scores,
                             float iou_threshold, int offset);
Tensor nms_impl(Tensor boxes, Tensor scores, float iou_threshold, int offset);
REGISTER_DEVICE_IMPL(nms_impl, CUDA, NMSCUDAKernelLauncher);
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("nms", &nms); }
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not shutil.which('g++'), reason='there is no g++')
@pytest.mark.parametrize(
    ('arch', 'kernels'),
    [
        ('8.0', ()),
        ('9.0', ('sigmoid_focal_loss_cuda.cu', 'deform_conv_cuda.cu')),
        ('12.0', ()),
    ],
)
def test_cuda_ops_build_without_a_gpu(
    tmp_path, monkeypatch, pip_toolkit, arch, kernels
):
    """Compile, link and load nms with CUDA, through mmcv's own setup.py.

    The compiler is the one that pip brings. The other ops are left out of the
    source to save their hour.
    """
    monkeypatch.setenv('FORCE_CUDA', '1')
    monkeypatch.setenv('TORCH_CUDA_ARCH_LIST', arch)
    try:
        source = install_mmcv.fetch_source(None, tmp_path)
    except InstallError as error:
        pytest.skip(str(error))
    include = Path(torch.__file__).parent / 'include'
    standard = install_mmcv.required_standard(include)
    install_mmcv.set_standard(source / 'setup.py', standard)
    install_mmcv.check_toolchain(standard, os.environ)

    folder = source / 'mmcv' / 'ops' / 'csrc' / 'pytorch'
    kept = {'nms.cpp', 'nms_cuda.cu', *kernels}
    for path in [*folder.rglob('*.cpp'), *folder.rglob('*.cu')]:
        if path.name not in kept:
            path.unlink()
    (folder / 'bind.cpp').write_text(BIND)
    # softnms and nms_match of nms.cpp stay declared and unused.
    wheel = install_mmcv.build_wheel(
        source, tmp_path, install_mmcv.build_environ(os.environ, pip_toolkit)
    )
    with zipfile.ZipFile(wheel) as archive:
        (library,) = [n for n in archive.namelist() if n.endswith('.so')]
        archive.extract(library, tmp_path)
    code = f"""
import torch, importlib.util
spec = importlib.util.spec_from_file_location('_ext', '{tmp_path / library}')
ext = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ext)
boxes = torch.tensor([[0., 0., 9., 9.], [1., 1., 10., 10.]])
print(ext.nms(boxes, torch.tensor([.1, .9]), 0.5, 0).tolist())
"""
    done = subprocess.run(
        [sys.executable, '-c', code], text=True, capture_output=True
    )
    assert done.stdout.strip() == '[1]', done.stderr
    made = (tmp_path / library).read_bytes()
    assert b'.nv_fatbin' in made
    assert f'sm_{arch.replace(".", "")}'.encode() in made
