"""Files that are written whole or not at all."""

import os
import shutil
from collections.abc import Iterable
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


def keep_apart(
    outputs: Iterable[str | os.PathLike], inputs: Iterable[str | os.PathLike]
) -> None:
    """Refuse outputs that would overwrite an input or each other.

    Args:
        outputs (Iterable[str | PathLike]): Files that will be written.
        inputs (Iterable[str | PathLike]): Files that are read.

    Raises:
        ValueError: If an output is one of the inputs, or another output.

    Example:
        >>> keep_apart(['a.json'], ['b/../a.json', 'c.png'])
        Traceback (most recent call last):
        ValueError: 'a.json' would overwrite 'b/../a.json': name another file
    """
    taken = {Path(path).resolve(): path for path in inputs}
    for path in outputs:
        other = taken.setdefault(Path(path).resolve(), path)
        if other is not path:
            raise ValueError(
                f"'{path}' would overwrite '{other}': name another file"
            )
