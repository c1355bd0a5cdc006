"""One training at a time in a work_dir."""

import os
import socket
import time
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]

LOCK = '.training'


def make_work_dir(folder: str | Path) -> None:
    """Make a work_dir, and check that it can be written to.

    Args:
        folder (str | Path): The work_dir, which may be there already.

    Raises:
        OSError: It cannot be written to. The message names it.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            error.errno,
            f"the work_dir '{folder}' cannot be written to "
            f'({error.strerror}): name another one by --work-dir',
        ) from error


class WorkDirLock:
    """A lock on a folder, which ends with its process, however that ends.

    It is a POSIX record lock: children do not inherit it, so a data loader's
    worker that outlives its killed parent does not hold it.

    Args:
        folder (str | Path): The work_dir, which is made if need be.
        patience (float): Seconds to wait for another process to let go.

    Raises:
        RuntimeError: On entry, if another process holds the lock. The message
            names its pid and host.
        OSError: On entry, if the folder cannot be written to.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, WorkDirLock(folder):
        ...     pass
    """

    def __init__(self, folder: str | Path, patience: float = 2.0) -> None:
        self.folder = Path(folder)
        self.patience = patience

    def __enter__(self) -> 'WorkDirLock':
        make_work_dir(self.folder)
        self._file = (self.folder / LOCK).open('a+')
        deadline = time.monotonic() + self.patience
        while fcntl:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    self._refuse()
                time.sleep(0.1)
        self._file.truncate(0)
        self._file.write(f'pid {os.getpid()} on {socket.gethostname()}')
        self._file.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.truncate(0)
        self._file.close()

    def _refuse(self) -> None:
        self._file.seek(0)
        owner = self._file.read() or 'another process'
        self._file.close()
        raise RuntimeError(
            f"'{self.folder}' is the work_dir of a training that is running "
            f'({owner}): wait for it, end it, or name another --work-dir'
        )
