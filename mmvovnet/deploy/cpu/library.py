"""Compiled code, in a folder that only its user may write."""

import hashlib
import logging
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from mmengine.logging import print_log

from mmvovnet.fileio import write

_DIGEST = hashlib.sha256
_BUILD = 'build-'
_LONG = 3600  # seconds; the folder may be one of several hosts


def compile_once(command: list[str], source: Path, key: str) -> Path:
    """Compile a shared library, unless the cache has it whole.

    It is found by a digest of the source, the command, the compiler's version
    and ``key``, and ends in a digest of itself: a torn or changed one is
    compiled again.

    Args:
        command (list[str]): A compiler and its options, but ``-o``.
        source (Path): What is compiled.
        key (str): What else the library depends on.

    Returns:
        Path: The library, in ``~/.cache/mmvovnet``, where none but the user
        may write.

    Raises:
        OSError: If there is no compiler, or the folder is another's.
        subprocess.CalledProcessError: If it does not compile.
    """
    compiler = shutil.which(command[0])
    if compiler is None:
        raise FileNotFoundError(
            f'there is no compiler {command[0]!r}: apt-get install g++, or '
            'name another in CXX'
        )
    version = subprocess.run(
        [compiler, '--version'], capture_output=True, text=True
    ).stdout
    parts = [key, version, compiler, source.read_text(), *command]
    digest = _DIGEST('\0'.join(parts).encode()).hexdigest()[:32]
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    folder = private_folder(Path(base, 'mmvovnet'))
    library = folder / f'{source.stem}-{digest}.so'
    if _is_whole(library):
        return library
    if os.path.lexists(library):
        print_log(
            f"'{library}' is damaged, or not its user's alone: it is compiled "
            'again',
            logger='current',
            level=logging.WARNING,
        )
        library.unlink()
    for left in folder.glob(f'{_BUILD}*'):  # by a killed process
        if time.time() - left.stat().st_mtime > _LONG:
            shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(dir=folder, prefix=_BUILD) as build:
        made = Path(build, library.name)
        subprocess.run(
            [*command, '-o', str(made)],
            check=True,
            capture_output=True,
            text=True,
        )
        made.chmod(0o700)
        data = made.read_bytes()
    write(library, data + _DIGEST(data).digest())  # ELF allows for a tail
    library.chmod(0o700)
    return library


def private_folder(path: Path) -> Path:
    """Make a folder in which none but the user may write.

    Raises:
        PermissionError: If it is another user's.
    """
    for parent in (*reversed(path.parents), path):
        parent.mkdir(mode=0o700, exist_ok=True)
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise PermissionError(
            f"'{path}' belongs to another user: set XDG_CACHE_HOME to a "
            'folder of your own'
        )
    if status.st_mode & 0o077:
        path.chmod(0o700)
    return path


def _is_whole(library: Path) -> bool:
    """Whether a file is its user's own, and ends in its digest."""
    try:
        status = library.lstat()
    except FileNotFoundError:
        return False
    if (
        not stat.S_ISREG(status.st_mode)
        or status.st_uid != os.geteuid()
        or status.st_mode & 0o022
    ):
        return False
    data = library.read_bytes()
    size = _DIGEST().digest_size
    return _DIGEST(data[:-size]).digest() == data[-size:]
