"""Reading checkpoints as data: no code from a file runs.

docs/security.md says why PyTorch's own ``weights_only`` does not suffice.
:mod:`.archive` finds pickle and tensors in a file, :mod:`.pickles` runs the
pickle, and :mod:`.allowed` lists what it may name.
"""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch.serialization import _get_restore_location

from .archive import Restore, read_legacy, read_zip, unpack
from .errors import CheckpointError, UnsafeCheckpointError

MapLocation = str | torch.device | dict[str, str] | Callable | None

_ZIP_HEAD = b'PK\x03\x04'
_LEGACY_HEAD = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'  # torch < 1.6


def load(path: str | Path, map_location: MapLocation = None) -> dict:
    """Read a checkpoint without running anything in it.

    It reads tensors, plain containers, numpy arrays of numbers and strings,
    and mmengine's ``HistoryBuffer``, and compares the checksums of files that
    PyTorch 1.6 or later wrote.

    Args:
        path (str | Path): A file of ``torch.save``, old or new format, or a
            ``.safetensors`` file; or a ``.zip`` that holds one ``.pth``.
        map_location: As in :func:`torch.load`.

    Returns:
        dict: What was saved.

    Raises:
        FileNotFoundError: There is no such file.
        UnsafeCheckpointError: The file asks for anything else.
        CheckpointError: The file is damaged, or no checkpoint.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, 'weights.pth')
        ...     torch.save({'state_dict': {'bias': torch.zeros(2)}}, path)
        ...     load(path)
        {'state_dict': {'bias': tensor([0., 0.])}}
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no checkpoint '{path}'.")
    if not path.is_file():
        raise CheckpointError(
            f"'{path}' is a folder, pipe or device: name a checkpoint file."
        )
    restore = _get_restore_location(map_location)
    try:
        if path.suffix == '.safetensors':
            return _read_safetensors(path, map_location)
        with path.open('rb') as file:
            if path.suffix == '.zip' and (inner := unpack(file)):
                with inner:
                    return _read(inner, restore)
            return _read(file, restore)
    except UnsafeCheckpointError as error:
        raise UnsafeCheckpointError(
            f"'{path}' asks for {str(error)[:200]}, which no checkpoint "
            'needs. It was refused, and nothing in it has run. If you trust '
            'its source, save its state_dict alone there.'
        ) from None
    except Exception as error:  # a damaged file can raise anything
        said = str(error).partition('\n')[0][:300] or type(error).__name__
        raise CheckpointError(
            f"'{path}' cannot be read ({said}). If it is damaged, fetch or "
            'save it again.'
        ) from error


def _read(file: io.BufferedReader, restore: Restore) -> dict:
    file.seek(0)
    head = file.read(len(_LEGACY_HEAD))
    file.seek(0)
    if not head:
        raise CheckpointError('it is empty')
    if head.startswith(_ZIP_HEAD):
        return read_zip(file, restore)
    if head == _LEGACY_HEAD:
        return read_legacy(file, restore)
    raise CheckpointError(
        f'it begins with {head!r}, as no file of torch.save does: is it a web '
        'page, a Git LFS pointer or another format?'
    )


def _read_safetensors(path: Path, map_location: MapLocation) -> dict:
    try:
        import safetensors.torch
    except ImportError:
        raise CheckpointError(
            'it needs the safetensors library: pip install safetensors'
        ) from None
    tensors = safetensors.torch.load_file(path)
    if isinstance(map_location, str | torch.device):
        tensors = {k: v.to(map_location) for k, v in tensors.items()}
    return tensors


def is_whole(path: str | Path) -> bool:
    """Whether a file is a complete checkpoint, by its own checksums.

    It is False for a missing, empty, torn or altered file, and for formats
    other than a zip.

    Example:
        >>> is_whole('no_such_file.pth')
        False
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return Path(path).is_file() and archive.testzip() is None
    except Exception:  # a damaged zip can raise anything
        return False
