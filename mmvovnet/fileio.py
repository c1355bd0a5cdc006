"""Files that are written whole or not at all."""

import os
import shutil
from pathlib import Path


def write(path: str | os.PathLike, content: bytes) -> None:
    """Write a file that takes its place when all of it is on the disk.

    A process that is killed meanwhile leaves the old file, or none.

    Args:
        path (str | PathLike): Where to, through links; the folder is made if
            need be. A device, such as /dev/stdout, is written to as it is.
        content (bytes): What to write.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write(Path(folder, 'new', 'file'), b'whole')
        ...     Path(folder, 'new', 'file').read_bytes()
        b'whole'
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        with part.open('wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        free = (
            shutil.disk_usage(path.parent).free if path.parent.exists() else 0
        )
        raise OSError(
            error.errno,
            f"'{path}' ({len(content)} bytes) cannot be written: "
            f'{error.strerror or error}. {free} bytes are free there. What '
            'was there before has stayed.',
        ) from error
    finally:
        part.unlink(missing_ok=True)
