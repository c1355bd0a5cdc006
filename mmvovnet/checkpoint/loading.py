"""Reading checkpoints as data: nothing that a file says is run.

mmengine's checkpoints hold the history of their logs, which PyTorch >= 2.6
refuses by default. Here PyTorch's own restricted unpickler is told about
numpy's arrays and mmengine's history, and about nothing else.
"""

import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version

MapLocation = str | torch.device | dict[str, str] | Callable | None

# Before 2.6 torch.load ran code even with weights_only (CVE-2025-32434).
TORCH_LOADS_SAFELY = digit_version(torch.__version__) >= digit_version('2.6')

_ZIP_HEAD = b'PK\x03\x04'
_LEGACY_HEAD = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'  # torch < 1.6
_STATISTICS = ('current', 'max', 'mean', 'min')


class CheckpointError(RuntimeError):
    """A file that cannot be read as a checkpoint."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint that asks for more than data."""


def load(path: str | Path, map_location: MapLocation = None) -> dict:
    """Read a checkpoint without running anything that it says.

    Allowed are tensors, plain containers, numpy arrays, scalars and dtypes
    (other than object and structured ones), and mmengine's ``HistoryBuffer``
    with the statistics of its own.

    Args:
        path (str | Path): A file of ``torch.save``, old or new format, or a
            ``.safetensors`` file.
        map_location: As in :func:`torch.load`.

    Returns:
        dict: What was saved.

    Raises:
        FileNotFoundError: There is no such file.
        UnsafeCheckpointError: The file asks for anything else.
        CheckpointError: The file is no checkpoint, or a damaged one.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, 'weights.pth')
        ...     torch.save({'state_dict': {'bias': torch.zeros(2)}}, path)
        ...     load(path)
        {'state_dict': {'bias': tensor([0., 0.])}}
    """
    if not TORCH_LOADS_SAFELY:
        raise CheckpointError(
            f'torch {torch.__version__} cannot load a file safely '
            '(CVE-2025-32434): install torch>=2.6.'
        )
    path = Path(path).expanduser()
    if path.is_dir():
        raise CheckpointError(
            f"'{path}' is a folder: name the checkpoint in it."
        )
    if not path.exists():
        raise FileNotFoundError(f"There is no checkpoint '{path}'.")
    if path.suffix == '.safetensors':
        return _load_safetensors(path, map_location)
    _check_container(path)
    try:
        with torch.serialization.safe_globals(_ALLOWED):
            return torch.load(path, map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        # torch buries the unpickler's message in its own advice.
        reason = str(error.__context__ or error)
        asked = re.search(r'GLOBAL (.+?)(?= was | whose |$)', reason) or (
            re.search(r'(?:function|got) (<.+>)', reason)
        )
        if asked is None:
            raise _damaged(path, reason) from error
        raise UnsafeCheckpointError(
            f"'{path}' asks for {asked[1]}, which no checkpoint needs; it was "
            'refused and nothing was run. If you trust where the file comes '
            'from, save its state_dict alone there.'
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        raise _damaged(path, error) from error


def is_whole(path: str | Path) -> bool:
    """Whether a file is a complete checkpoint, by its own checksums.

    Args:
        path (str | Path): A file of ``torch.save``, in the zip format.

    Returns:
        bool: False for a missing, empty, torn or altered file.

    Example:
        >>> is_whole('no_such_file.pth')
        False
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # a damaged zip can raise anything
        return False


def _check_container(path: Path) -> None:
    """Refuse what is no checkpoint before anything of it is interpreted."""
    with path.open('rb') as file:
        head = file.read(len(_LEGACY_HEAD))
    if not head:
        raise _damaged(path, 'it is empty')
    if not head.startswith(_ZIP_HEAD):
        if head != _LEGACY_HEAD:
            raise CheckpointError(
                f"'{path}' begins with {head!r}, as no file of torch.save "
                'does: is it a web page, a Git LFS pointer or another '
                'format? Fetch the checkpoint itself.'
            )
        return
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except Exception as error:  # a damaged zip can raise anything
        raise _damaged(
            path, f'its end is missing or damaged: {error}'
        ) from error
    size = path.stat().st_size
    claimed = sum(record.file_size for record in records)
    if claimed > size or any(record.compress_type for record in records):
        raise CheckpointError(
            f"'{path}' holds {size} bytes and would unpack to {claimed}; "
            'torch.save never compresses, so this is not its work.'
        )


def _damaged(path: Path, reason: str | Exception) -> CheckpointError:
    said = str(reason).partition('\n')[0] or type(reason).__name__
    return CheckpointError(
        f"'{path}' cannot be read ({said}). If it is damaged, fetch or save "
        'it again.'
    )


def _load_safetensors(path: Path, map_location: MapLocation) -> dict:
    try:
        import safetensors.torch
    except ImportError as error:
        raise CheckpointError(
            f"'{path}' needs the safetensors library: pip install safetensors"
        ) from error
    try:
        tensors = safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise _damaged(path, error) from error
    if isinstance(map_location, str | torch.device):
        tensors = {k: v.to(map_location) for k, v in tensors.items()}
    return tensors


def _statistic(owner: object, name: str) -> Callable:
    """Stand in for ``getattr``, by which HistoryBuffer pickles its methods."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        owner = getattr(owner, '__qualname__', owner)
        raise pickle.UnpicklingError(f'GLOBAL getattr({owner}, {name!r})')
    return getattr(HistoryBuffer, name)


def _dtype(code: str, align: bool = False, copy: bool = True) -> np.dtype:
    """Stand in for ``numpy.dtype``: a dtype that holds no pointers."""
    dtype = np.dtype(code, align, copy)
    if dtype.hasobject or dtype.kind == 'V':
        raise pickle.UnpicklingError(f'GLOBAL numpy.dtype({code!r})')
    return dtype


def _allowed_globals() -> list[tuple[Callable, str]]:
    """What a checkpoint may name, beside what torch allows by itself."""
    rebuild = np.empty(0).__reduce__()[0], np.float64().__reduce__()[0]
    codes = np.typecodes['AllInteger'] + np.typecodes['AllFloat'] + '?SU'
    dtypes = {type(np.dtype(code)) for code in codes}
    return [
        (_statistic, 'builtins.getattr'),
        (_dtype, 'numpy.dtype'),
        (bytes, 'builtins.bytes'),  # of an empty array
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (np.ndarray, 'numpy.ndarray'),
        # numpy 1 and numpy 2 name the same functions differently.
        *[(f, f'numpy.core.multiarray.{f.__name__}') for f in rebuild],
        *[(f, f'numpy._core.multiarray.{f.__name__}') for f in rebuild],
        *[(dtype, f'numpy.dtypes.{dtype.__name__}') for dtype in dtypes],
    ]


_ALLOWED = _allowed_globals()
