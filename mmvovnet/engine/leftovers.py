"""What killed processes left unfinished."""

import os
import re
import shutil
from pathlib import Path

_PART = re.compile(r'\.(\d+)\.part$')


def remove_leftovers(folder: str | Path) -> list[Path]:
    """Remove the half-written files of processes that are gone.

    :func:`mmvovnet.fileio.write` names a file ``NAME.PID.part`` until all of
    it is on the disk. Call this where no other host writes.

    Args:
        folder (str | Path): Searched with the folders in it.

    Returns:
        list[Path]: What was removed.

    Example:
        >>> remove_leftovers('no_such_folder')
        []
    """
    removed = []
    for path in Path(folder).rglob('*.part'):
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
