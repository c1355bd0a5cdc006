"""What killed processes left unfinished."""

import glob
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PART = re.compile(r'\.(\d+)\.part$')


@contextmanager
def part_folder(path: str | Path) -> Iterator[Path]:
    """A folder beside a file, for the parts that it is made of.

    It is gone when done, and so is what killed processes left of it.

    Args:
        path (str | Path): The file.

    Yields:
        Path: The folder.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with (
        ...     TemporaryDirectory() as parent,
        ...     part_folder(f'{parent}/model.onnx') as folder,
        ... ):
        ...     folder.name == f'model.onnx.{os.getpid()}.part'
        True
    """
    path = Path(path)
    remove_leftovers(path.parent, f'{glob.escape(path.name)}.*.part')
    folder = path.with_name(f'{path.name}.{os.getpid()}.part')
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(
    folder: str | Path, pattern: str = '**/*.part'
) -> list[Path]:
    """Remove the half-written files of processes that are gone.

    :func:`mmvovnet.fileio.write` names a file ``NAME.PID.part`` until all of
    it is on the disk. Call this where no other host writes.

    Args:
        folder (str | Path): Where they are.
        pattern (str): Of their paths in it. Defaults to all, also those in
            folders of the folder.

    Returns:
        list[Path]: What was removed.

    Example:
        >>> remove_leftovers('no_such_folder')
        []
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
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
