"""Build and install mmcv 2.1.0, with its ops, for the torch that is installed.

mmcv 2.1.0 is the last release that mmdet 3.3.0 accepts. It is published as
source, and its ``setup.py`` asks for C++17, while today's torch headers ask
for C++20. This script makes the wheel with the standard that the installed
torch needs (nothing else of the source is changed), keeps it in the user's
cache, installs it, and runs an op to see that it works::

    python tools/install_mmcv.py                  # ops for the CPU
    FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST=9.0 python tools/install_mmcv.py

CUDA ops are built when torch sees a GPU or ``FORCE_CUDA=1``. Where there is no
toolkit of torch's CUDA version, pip brings NVIDIA's compiler into the cache.
The standard library, torch, setuptools and a C++ compiler are all that the
script needs.
"""

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

VERSION = '2.1.0'
SHA256 = 'd387bcab66b467479b6660310e23746cfc79c6e57acf04094680adb499a5cd3f'
BUILD_GIB = 2.0
HEADERS = ('pytorch_cpp_helper.hpp', 'pytorch_device_registry.hpp')
NVCC = (  # NVIDIA's packages of the compiler and what it reads
    'nvidia-cuda-nvcc',
    'nvidia-cuda-crt',
    'nvidia-nvvm',
    'nvidia-cuda-cccl',
    'nvidia-cuda-runtime',
)
STANDARDS = {
    201402: 'c++14',
    201703: 'c++17',
    202002: 'c++20',
    202302: 'c++23',
}

SMOKE_TEST = """
import torch
from mmcv.ops import get_compiling_cuda_version, nms
devices = ['cpu']
if torch.cuda.is_available() or {cuda}:
    compiled = get_compiling_cuda_version()
    assert compiled != 'not available', 'mmcv has no CUDA ops'
if torch.cuda.is_available():
    devices.append('cuda')
for device in devices:
    boxes = torch.tensor([[0., 0., 10., 10.], [1., 1., 11., 11.],
                          [20., 20., 30., 30.]], device=device)
    scores = torch.tensor([0.5, 0.9, 0.3], device=device)
    _, keep = nms(boxes, scores, iou_threshold=0.5)
    assert keep.tolist() == [1, 2], f'nms on {{device}}: {{keep.tolist()}}'
"""


# g++ takes a compiled header only where all flags are the same: the first file
# makes it with its own.
COMPILER = """#!{python} -IS
import fcntl, os, subprocess, sys

header, compiler, args = {header!r}, {compiler!r}, sys.argv[1:]
if '-c' in args:
    flags, rest = [], iter(args)
    for arg in rest:
        if arg in ('-o', '-MF'):
            next(rest)
        elif arg not in ('-c', '-MMD') and not arg.endswith('.cpp'):
            flags.append(arg)
    compiled = header + '.gch'
    with open(header) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(compiled):
            part = ['-x', 'c++-header', header, '-o', header + '.part']
            if subprocess.run([*compiler, *flags, *part]).returncode:
                open(compiled, 'w').close()
            else:
                os.rename(header + '.part', compiled)
    if os.path.getsize(compiled):
        args = ['-include', header, *args]
os.execvp(compiler[0], [*compiler, *args])
"""


class InstallError(RuntimeError):
    """A reason why mmcv can't be installed, and its remedy."""


def required_standard(include: Path) -> str:
    """Read from torch's headers which C++ standard they ask for.

    Args:
        include (Path): torch's include directory.

    Returns:
        str: The value for ``-std=``, such as ``'c++20'``.
    """
    for header in ('ATen/ATen.h', 'c10/util/C++17.h'):
        path = include / header
        text = path.read_text(errors='replace') if path.exists() else ''
        found = re.search(r'__cplusplus\s*<\s*(\d{6})L', text)
        if found:
            return STANDARDS.get(int(found[1]), 'c++17')
    return 'c++17'


def set_standard(setup_py: Path, standard: str) -> None:
    """Set the C++ standard of mmcv's ``setup.py`` (compiler and nvcc)."""
    text = setup_py.read_text(encoding='utf-8')
    patched, count = re.subn(r'(?<=[-/]std[=:])c\+\+17', standard, text)
    if not count:
        raise InstallError(
            f"mmcv {VERSION}'s setup.py does not set -std=c++17 as expected; "
            'is the source archive the released one?'
        )
    setup_py.write_text(patched, encoding='utf-8')


def wants_cuda(environ: Mapping[str, str]) -> bool:
    """Whether to build CUDA ops: mmcv's own rule."""
    import torch

    return torch.cuda.is_available() or environ.get('FORCE_CUDA') == '1'


def cache_name(environ: Mapping[str, str]) -> str:
    """Name the build by all that decides whether its wheel can be used.

    Example:
        >>> cache_name({})  # doctest: +SKIP
        'mmcv-2.1.0-cp311-torch2.14.1+cu130-cpu-x86_64'
    """
    import torch

    device = 'cpu'
    if wants_cuda(environ):
        archs = (
            environ.get('TORCH_CUDA_ARCH_LIST')
            or ' '.join(
                sorted(
                    '{}.{}'.format(*torch.cuda.get_device_capability(i))
                    for i in range(torch.cuda.device_count())
                )
            )
            or 'all'
        )
        device = f'cuda{torch.version.cuda}-sm{archs}'
    python = f'cp{sys.version_info.major}{sys.version_info.minor}'
    name = (
        f'mmcv-{VERSION}-{python}-torch{torch.__version__}-{device}-'
        f'{os.uname().machine}'
    )
    return re.sub(r'[^\w.+-]+', '_', name)


def check_toolchain(standard: str, environ: Mapping[str, str]) -> None:
    """Compile a probe, so that what is missing is known in a second.

    Raises:
        InstallError: No compiler, one that is too old, no Python headers,
            or no setuptools with ``pkg_resources``.
    """
    if importlib.util.find_spec('pkg_resources') is None:
        raise InstallError(
            "mmcv's setup.py needs pkg_resources, which setuptools dropped: "
            "pip install 'setuptools>=77.0.3,<81'"
        )
    compiler = environ.get('CXX', 'c++')
    needed = next(k for k, v in STANDARDS.items() if v == standard)
    probe = (
        '#include <Python.h>\n'
        f'#if __cplusplus < {needed}L\n#error too old\n#endif\n'
    )
    command = [
        *compiler.split(),
        '-x',
        'c++',
        f'-std={standard}',
        f'-I{sysconfig.get_path("include")}',
        '-fsyntax-only',
        '-',
    ]
    try:
        done = subprocess.run(
            command, input=probe, text=True, capture_output=True
        )
    except FileNotFoundError:
        raise InstallError(
            f'there is no C++ compiler ({compiler!r} was not found): '
            'apt-get install g++, or set CXX'
        ) from None
    if 'Python.h' in done.stderr:
        version = '{}.{}'.format(*sys.version_info)
        raise InstallError(
            f"Python {version}'s headers are missing (no Python.h): "
            f'apt-get install python{version}-dev'
        )
    if done.returncode:
        raise InstallError(
            f"{compiler!r} can't compile {standard}, which the installed "
            'torch needs; install g++ 11 or newer, or set CXX to it.\n'
            f'{done.stderr.strip()}'
        )


def nvcc_version(home: str) -> str:
    """The CUDA version of the compiler in a toolkit, '' if there is none."""
    nvcc = Path(home, 'bin', 'nvcc')
    if not nvcc.exists():
        return ''
    text = subprocess.run(
        [str(nvcc), '--version'], text=True, capture_output=True
    ).stdout
    found = re.search(r'release (\d+\.\d+)', text)
    return found[1] if found else ''


def cuda_toolkit(environ: Mapping[str, str], cache: Path) -> str:
    """The CUDA toolkit to build with, of torch's CUDA major version.

    ``CUDA_HOME``, else the one that nvcc belongs to, else ``/usr/local/cuda``,
    else one that pip installs into the cache. The nvcc on the path can be a
    script that calls the toolkit's own, so it is asked where its toolkit is.

    Raises:
        InstallError: torch was built without CUDA, ``CUDA_HOME`` is of
            another version, or pip has no compiler of this version.
    """
    import torch

    if torch.version.cuda is None:
        raise InstallError(
            f'FORCE_CUDA=1, but torch {torch.__version__} was built without '
            'CUDA: install a CUDA build of torch, or unset FORCE_CUDA'
        )
    major = torch.version.cuda.split('.')[0]
    if home := environ.get('CUDA_HOME'):
        version = nvcc_version(home)
        if version.split('.')[0] != major:
            raise InstallError(
                f'CUDA_HOME={home} has '
                + (f'nvcc of CUDA {version}' if version else 'no bin/nvcc')
                + f', and torch is of CUDA {torch.version.cuda}: set '
                f'CUDA_HOME to a CUDA {torch.version.cuda} toolkit, or '
                'unset it'
            )
        return home
    homes = ['/usr/local/cuda']
    if nvcc := shutil.which('nvcc', path=environ.get('PATH')):
        plan = subprocess.run(
            [nvcc, '-dryrun', 'x.cu'], text=True, capture_output=True
        ).stderr
        if top := re.search(r'^#\$ TOP=(.+)$', plan, re.M):
            homes.insert(0, str(Path(top[1]).resolve()))
    for home in homes:
        if nvcc_version(home).split('.')[0] == major:
            return home
    return pip_toolkit(torch.version.cuda, cache)


def pip_toolkit(version: str, cache: Path) -> str:
    """NVIDIA's compiler as pip's packages, installed into the cache once.

    Args:
        version (str): The CUDA version, such as ``'13.0'``.
        cache (Path): The cache.

    Returns:
        str: The toolkit's folder. It has no math libraries: the headers of
        those that torch's own packages bring complete it.
    """
    major, minor = version.split('.')[:2]
    if int(major) < 13:
        raise InstallError(
            f'there is no CUDA {version} toolkit here, and its packages on '
            f'PyPI are without nvcc: install the CUDA {version} toolkit of '
            'NVIDIA, or a torch of CUDA 13'
        )
    home = private_folder(cache) / f'cuda-{major}.{minor}-{os.uname().machine}'
    made = Path('nvidia', f'cu{major}')
    if home.exists():
        private_folder(home)
        return str(home / made)
    print(
        f'mmcv: there is no CUDA {version} toolkit here; pip brings '
        f"NVIDIA's compiler into {home} (100 MB to load, 270 MB on disk)",
        flush=True,
    )
    with workspace(cache) as folder:
        if home.exists():  # by the build that was waited for
            return str(home / made)
        target = folder / 'cuda'
        done = subprocess.run(
            pip(
                *('install', '--quiet', '--no-deps', '--target', str(target)),
                *('--only-binary', ':all:'),
                *(f'{name}=={major}.{minor}.*' for name in NVCC),
            ),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode or not nvcc_version(str(target / made)):
            raise InstallError(
                f"pip could not get NVIDIA's compiler: install the CUDA "
                f'{version} toolkit, or set CUDA_HOME to one. pip said:\n'
                f'{done.stdout.strip()}'
            )
        (target / made / 'lib64').symlink_to('lib')
        (library,) = (target / made / 'lib').glob('libcudart.so.*')
        library.with_name('libcudart.so').symlink_to(library.name)
        private_folder(target).replace(home)
    return str(home / made)


def build_environ(
    environ: Mapping[str, str], toolkit: str | None = None
) -> dict[str, str]:
    """The environment of the build.

    No debug symbols and ``-O2`` take two thirds of the default's time. The
    runtime headers that torch's own ``nvidia-*`` wheels carry complete a
    toolkit that has only the compiler.
    """
    env = dict(environ, MMCV_WITH_OPS='1', PYTHONUNBUFFERED='1')
    env['CFLAGS'] = f'-g0 -O2 {environ.get("CFLAGS", "")}'
    gib = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    cores = len(os.sched_getaffinity(0))
    env.setdefault('MAX_JOBS', str(max(1, min(cores, int(gib // 2)))))
    if toolkit:
        env['CUDA_HOME'] = toolkit
        site = Path(importlib.util.find_spec('torch').origin).parents[1]
        headers = [str(p) for p in sorted(site.glob('nvidia/*/include'))]
        env['CPATH'] = os.pathsep.join(
            filter(None, [environ.get('CPATH'), *headers])
        )
    return env


def precompile_headers(
    folder: Path, headers: tuple[str, ...], environ: Mapping[str, str]
) -> str:
    """Make a compiler that compiles common headers once, for all files.

    Args:
        folder (Path): Where it is put.
        headers (tuple[str]): What every file includes first.
        environ (Mapping[str, str]): Whose ``CXX`` it calls.

    Returns:
        str: The value for ``CXX``. With another compiler than GNU's, whose
        rules for compiled headers differ, it is the compiler itself.
    """
    compiler = environ.get('CXX', 'c++')
    version = subprocess.run(
        [*compiler.split(), '--version'], text=True, capture_output=True
    ).stdout
    if 'Free Software Foundation' not in version:
        return compiler
    common = folder / 'common.hpp'
    common.write_text(''.join(f'#include "{name}"\n' for name in headers))
    path = folder / 'g++'  # a name that torch takes for GNU's
    path.write_text(
        COMPILER.format(
            python=sys.executable,
            header=str(common),
            compiler=compiler.split(),
        )
    )
    path.chmod(0o700)
    return str(path)


def pip(*args: str) -> list[str]:
    """The command that runs pip in this environment."""
    return [sys.executable, '-m', 'pip', '--disable-pip-version-check', *args]


def fetch_source(sdist: Path | None, folder: Path) -> Path:
    """Unpack mmcv's source archive, downloaded with pip unless given.

    Its SHA-256 is compared before any of it is run: pip runs ``setup.py`` to
    learn what it downloaded.
    """
    if sdist is None:
        wanted = folder / 'mmcv.txt'
        wanted.write_text(f'mmcv=={VERSION} --hash=sha256:{SHA256}\n')
        done = subprocess.run(
            pip(
                'download',
                '--quiet',
                '--no-deps',
                '--no-build-isolation',
                '--no-binary',
                'mmcv',
                '--dest',
                str(folder),
                '--require-hashes',
                '--requirement',
                str(wanted),
            ),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        archives = list(folder.glob('mmcv-*.tar.gz'))
        if done.returncode or not archives:
            raise InstallError(
                f"pip could not get mmcv {VERSION}'s source; where there is "
                f'no network, bring mmcv-{VERSION}.tar.gz and pass it as '
                f'--sdist FILE. pip said:\n{done.stdout.strip()}'
            )
        sdist = archives[0]
    try:
        digest = hashlib.sha256(sdist.read_bytes()).hexdigest()
        if digest != SHA256:
            raise InstallError(
                f'{sdist} is not the mmcv {VERSION} that was published: its '
                f'SHA-256 is {digest}, not {SHA256}; download it again'
            )
        with tarfile.open(sdist) as archive:
            # Python 3.11.4 and 3.10.12 brought the filter.
            safe = hasattr(tarfile, 'data_filter')
            archive.extractall(folder, **dict(filter='data') if safe else {})
    except (OSError, tarfile.TarError) as error:
        raise InstallError(
            f'{sdist} is not a readable source archive ({error}); download '
            'it again'
        ) from None
    source = folder / f'mmcv-{VERSION}'
    if not (source / 'setup.py').exists():
        raise InstallError(f'{sdist} holds no mmcv-{VERSION}/setup.py')
    return source


class Progress:
    """One line on a terminal, a line each tenth elsewhere."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.shown = -1

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` files are compiled."""
        text = (
            f'  compiled {done}/{total} files, '
            f'{time.monotonic() - self.start:.0f} s'
        )
        if sys.stdout.isatty():
            print(f'\r{text}', end='\n' if done == total else '', flush=True)
        elif done * 10 // total > self.shown:
            self.shown = done * 10 // total
            print(text, flush=True)


def build_wheel(source: Path, folder: Path, env: Mapping[str, str]) -> Path:
    """Compile ``source`` and return the path of the wheel in ``folder``."""
    progress = Progress()
    lines: list[str] = []
    process = subprocess.Popen(
        pip(
            'wheel',
            '--verbose',
            '--no-deps',
            '--no-build-isolation',
            '--wheel-dir',
            str(folder),
            str(source),
        ),
        env=dict(env),
        text=True,
        errors='replace',
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    for line in process.stdout:
        lines.append(line)
        step = re.match(r'\s*\[(\d+)/(\d+)\]', line)
        if step:
            progress(int(step[1]), int(step[2]))
    wheels = list(folder.glob('mmcv-*.whl'))
    if process.wait() or not wheels:
        log = folder.parent / 'mmcv-build.log'  # in the cache, the user's own
        with contextlib.suppress(OSError):
            log.write_text(''.join(lines))
        text = ''.join(lines)
        reason = 'the build failed'
        if 'No space left on device' in text:
            reason = 'the disk is full'
        elif process.returncode < 0 or 'Killed' in text:
            reason = (
                'the build was killed, perhaps for lack of memory '
                '(MAX_JOBS=1 takes less)'
            )
        errors = [x for x in lines if re.search(r'\berror\b|Killed', x, re.I)]
        raise InstallError(
            f'{reason}; its output is in {log}.\n'
            + ''.join((errors or lines)[:5]).strip()
        )
    return wheels[0]


def private_folder(path: Path) -> Path:
    """Make a folder in which none but the user may write."""
    path = path.absolute()
    for parent in (*reversed(path.parents), path):
        parent.mkdir(mode=0o700, exist_ok=True)
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise InstallError(
            f'{path} belongs to another user: choose a folder of your own '
            'with --cache'
        )
    if status.st_mode & 0o077:
        path.chmod(0o700)
    return path


def is_private(path: Path) -> bool:
    """Whether a file is the user's, and none else may write it."""
    status = path.lstat()
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & 0o022
    )


@contextlib.contextmanager
def workspace(cache: Path) -> Iterator[Path]:
    """A folder for one build; folders that dead builds left are removed.

    A lock says which are dead: process ids do not, as those of other machines
    and containers may share the cache.
    """
    private_folder(cache)
    with (cache / 'lock').open('w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print('mmcv: waiting for another build to end', flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        for old in cache.glob('build-*'):
            shutil.rmtree(old, ignore_errors=True)
        free = shutil.disk_usage(cache).free / 2**30
        if free < BUILD_GIB:
            raise InstallError(
                f'{cache} has {free:.1f} GiB free and the build takes '
                f'{BUILD_GIB:.0f}: make room, or choose another with --cache'
            )
        with tempfile.TemporaryDirectory(prefix='build-', dir=cache) as folder:
            yield Path(folder)


def is_whole(wheel: Path) -> bool:
    """Whether the wheel can be read and all checksums are right."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def kept_wheel(home: Path) -> Path | None:
    """The wheel in a folder of the cache, if it is whole and the user's."""
    if not home.exists():
        return None
    private_folder(home)
    for wheel in home.glob(f'mmcv-{VERSION}-*.whl'):
        if is_private(wheel) and is_whole(wheel):
            print(f'mmcv: taking {wheel}', flush=True)
            return wheel
        print(
            f"mmcv: {wheel} is damaged, or not its user's alone; it is built "
            'again',
            flush=True,
        )
        wheel.unlink()
    return None


def cached_wheel(cache: Path, sdist: Path | None = None) -> Path:
    """The wheel for this Python and torch, built if the cache has none."""
    import torch

    cache = private_folder(cache)
    home = cache / cache_name(os.environ)
    if wheel := kept_wheel(home):
        return wheel
    standard = required_standard(Path(torch.__file__).parent / 'include')
    check_toolchain(standard, os.environ)
    toolkit = None
    if wants_cuda(os.environ):
        toolkit = cuda_toolkit(os.environ, cache)
    env = build_environ(os.environ, toolkit)
    with workspace(cache) as folder:
        if wheel := kept_wheel(home):  # by the build that was waited for
            return wheel
        source = fetch_source(sdist, folder)
        set_standard(source / 'setup.py', standard)
        env['CXX'] = precompile_headers(folder, HEADERS, os.environ)
        print(
            f'mmcv: building {home.name} with -std={standard} in '
            f'{env["MAX_JOBS"]} jobs',
            flush=True,
        )
        wheel = build_wheel(source, folder, env)
        if not is_whole(wheel):
            raise InstallError('the new wheel is damaged; is the disk full?')
        private_folder(home)
        wheel.chmod(0o600)
        # In one step, within one file system: the cache never holds a part.
        return wheel.replace(home / wheel.name)


def run_code(code: str) -> subprocess.CompletedProcess:
    """Run Python code in an empty folder, which it has on its path."""
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [sys.executable, '-c', code],
            text=True,
            capture_output=True,
            cwd=folder,
        )


def smoke_test() -> str:
    """Run ``nms`` in a process of its own; return what went wrong, if so."""
    done = run_code(SMOKE_TEST.format(cuda=wants_cuda(os.environ)))
    lines = done.stderr.strip().splitlines() or [f'exit {done.returncode}']
    return lines[-1] if done.returncode else ''


def is_installed(name: str) -> bool:
    """Whether pip knows the distribution."""
    return not subprocess.run(
        pip('show', '--quiet', name), stderr=subprocess.DEVNULL
    ).returncode


def install(wheel: Path) -> None:
    """Install ``wheel``, in place of any other mmcv, and what it depends on.

    mmcv and mmcv-lite share one import name: the second one's removal would
    take the first one's files along, so both go first.
    """
    for name in filter(is_installed, ('mmcv', 'mmcv-lite', 'mmcv-full')):
        print(f'mmcv: replacing the installed {name}', flush=True)
        subprocess.run(pip('uninstall', '--quiet', '--yes', name), check=True)
    if subprocess.run(pip('install', '--quiet', str(wheel))).returncode:
        raise InstallError(f'pip could not install {wheel}; see its message')
    if run_code('import cv2').returncode:
        # opencv-python, which mmengine asks for, needs libGL; a server often
        # has none, and the headless build is the same module.
        subprocess.run(
            pip(
                'install',
                '--quiet',
                '--force-reinstall',
                '--no-deps',
                'opencv-python-headless',
            ),
            check=True,
        )


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    parser.add_argument(
        '--cache',
        type=Path,
        default=Path(base, 'mmvovnet'),
        help='where wheels are kept (default: %(default)s)',
    )
    parser.add_argument(
        '--sdist',
        type=Path,
        help=f'mmcv-{VERSION}.tar.gz, where pip has no network',
    )
    parser.add_argument(
        '--wheel-only',
        action='store_true',
        help='print the path of the wheel and do not install it',
    )
    args = parser.parse_args(argv)
    try:
        try:
            import torch  # noqa: F401
        except ImportError:
            raise InstallError(
                'mmcv is built for the torch that is '
                'installed: pip install torch first'
            ) from None
        if args.wheel_only:
            print(cached_wheel(args.cache, args.sdist))
            return 0
        if not smoke_test():
            print('mmcv: its ops work already, nothing to do')
            return 0
        install(cached_wheel(args.cache, args.sdist))
        problem = smoke_test()
        if problem:
            raise InstallError(f'mmcv is installed but nms fails: {problem}')
        print('mmcv: installed; nms gives the right answer')
    except (InstallError, OSError, subprocess.CalledProcessError) as error:
        print(f'mmcv was not installed: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nmmcv was not installed: interrupted', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
