"""One training at a time in a work_dir."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile


def make_work_dir(folder: str | Path) -> None:
    """Make a work_dir, if need be; an OSError names it if that fails."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            error.errno,
            f"the work_dir '{folder}' cannot be written to "
            f'({error.strerror}): name another one by --work-dir',
        ) from error


@contextmanager
def lock_work_dir(folder: str | Path, patience: float = 2.0) -> Iterator[None]:
    """Lock a folder until this process leaves the context, or ends.

    Args:
        folder (str | Path): The work_dir.
        patience (float): Seconds to wait for another process to let go.

    Raises:
        RuntimeError: Another process holds the lock. The message names its pid
            and host.
    """
    deadline = time.monotonic() + patience
    with Path(folder, '.training').open('a+') as file:
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    file.seek(0)
                    owner = file.read() or 'another process'
                    raise RuntimeError(
                        f"'{folder}' is the work_dir of a training that is "
                        f'running ({owner}): wait for it, end it, or name '
                        'another --work-dir'
                    ) from None
                time.sleep(0.1)
        file.truncate(0)
        file.write(f'pid {os.getpid()} on {socket.gethostname()}')
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
