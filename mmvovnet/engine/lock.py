"""One training at a time in a work_dir."""

import fcntl
import os
import socket
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
def lock_work_dir(folder: str | Path) -> Iterator[None]:
    """Lock a folder until this process leaves the context, or ends.

    Raises:
        RuntimeError: Another process holds the lock. The message names its pid
            and host.
    """
    with Path(folder, '.training').open('a+') as file:
        try:  # no child inherits it, such as a worker that outlives its parent
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read() or 'another process'
            raise RuntimeError(
                f"'{folder}' is the work_dir of a training that is running "
                f'({owner}): wait for it, end it, or name another --work-dir'
            ) from None
        file.truncate(0)
        file.write(f'pid {os.getpid()} on {socket.gethostname()}')
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
