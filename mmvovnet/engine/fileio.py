"""Files that are written whole or not at all."""

import os
from pathlib import Path

from mmengine import fileio


class LocalBackend(fileio.LocalBackend):
    """mmengine's local storage, with atomic writes.

    mmengine opens the destination and writes into it, so that a process that
    is killed meanwhile leaves a torn checkpoint in the place of a good one.
    Here a file takes its place only when all of it is on the disk.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file, replacing it at once.

        Args:
            obj (bytes): What to write.
            filepath (str | Path): Where to, through links; its folder is made
                if need be.
        """
        path = Path(filepath).resolve()
        if path.exists() and not path.is_file():  # such as /dev/stdout
            super().put(obj, filepath)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f'{path.name}.{os.getpid()}.part')
        try:
            with part.open('wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def put_text(
        self, obj: str, filepath: str | Path, encoding: str = 'utf-8'
    ) -> None:
        """Write text to a file, replacing it at once: see :meth:`put`."""
        self.put(obj.encode(encoding), filepath)


fileio.register_backend('local', LocalBackend, force=True, prefixes='')
