"""Files that are written whole or not at all."""

import os
from pathlib import Path


def write(path: str | os.PathLike, content: bytes) -> None:
    """Write a file that takes its place when all of it is on the disk.

    A process that is killed meanwhile leaves the old file, or none.

    Args:
        path (str | PathLike): Where to, through links; the folder is made if
            need be. A device, such as /dev/stdout, is written to as it is.
        content (bytes): What to write.

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
    finally:
        part.unlink(missing_ok=True)
