"""Files that are written whole or not at all, and overwrite no other."""

import glob
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PART = re.compile(r'\.(\d+)\.part$')


def write(path: str | os.PathLike, content: bytes) -> None:
    """Write a file that takes its place when all of it is on the disk.

    If the process is killed before, the old file stays, or none. A device,
    such as /dev/stdout, is written to as it is.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    try:
        with part.open('wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        free = shutil.disk_usage(path.parent).free
        raise OSError(
            error.errno,
            f"'{path}' ({len(content)} bytes) cannot be written: "
            f'{error.strerror or error}. {free} bytes are free there. What '
            'was there before has stayed.',
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f'{path.name}.{os.getpid()}.part')


def keep_apart(
    outputs: Iterable[str | os.PathLike],
    inputs: Iterable[str | os.PathLike | None],
) -> None:
    """Refuse outputs that would overwrite an input or each other.

    Of the inputs, None stands for one that is not given.

    Raises:
        ValueError: If an output is one of the inputs, or another output.

    Example:
        >>> keep_apart(['a.json'], ['b/../a.json', 'c.png', None])
        Traceback (most recent call last):
        ValueError: 'a.json' would overwrite 'b/../a.json': name another file
    """
    taken = {Path(path).resolve(): path for path in inputs if path}
    for path in outputs:
        other = taken.setdefault(Path(path).resolve(), path)
        if other is not path:
            raise ValueError(
                f"'{path}' would overwrite '{other}': name another file"
            )


@contextmanager
def part_folder(path: str | Path) -> Iterator[Path]:
    """A folder next to a file, for the parts that it is made of.

    It is gone when done, and so is what killed processes left of it.
    """
    path = Path(path)
    remove_leftovers(path.parent, f'{glob.escape(path.name)}.*.part')
    folder = _part(path)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(
    folder: str | Path, pattern: str = '**/*.part'
) -> list[Path]:
    """Remove the half-written files of processes that are gone.

    :func:`write` names a file ``NAME.PID.part`` until all of it is on the
    disk. Call this where no other host writes.

    Args:
        folder (str | Path): Where they are.
        pattern (str): Of their paths in it. Defaults to all, also deeper ones.
    """
    removed = []
    for path in list(Path(folder).glob(pattern)):
        match = _PART.search(path.name)
        if match and not _alive(int(match[1])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # another user's
        return True
    except ProcessLookupError:
        return False
    return True
