"""mmengine's local storage, with files that are whole or not there."""

from pathlib import Path

from mmengine import fileio

from mmvovnet.fileio import write


class LocalBackend(fileio.LocalBackend):
    """mmengine's local storage, with atomic writes.

    mmengine writes into the destination, and a process that is killed leaves a
    torn checkpoint where a good one was.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file: see :func:`mmvovnet.fileio.write`."""
        write(filepath, obj)

    def put_text(
        self, obj: str, filepath: str | Path, encoding: str = 'utf-8'
    ) -> None:
        """Write text to a file: see :meth:`put`."""
        write(filepath, obj.encode(encoding))


fileio.register_backend('local', LocalBackend, force=True, prefixes='')
