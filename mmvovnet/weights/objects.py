"""What a pickle in a checkpoint may name, and what is made of it.

Arguments come from a file. Each function takes those that real checkpoints
give it, and raises on all others.
"""

import re
from collections import Counter, OrderedDict
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

from .errors import CheckpointError
from .pickles import Global, PickleReader, refused, show

_STATISTICS = ('current', 'max', 'mean', 'min')
_DTYPE = re.compile(r'[<>|=]?(?:[biufc]\d{1,2}|[SU]\d{1,9})|[bBhHiIlLqQefd?]')
_TORCH_DTYPE = re.compile(
    r'bool|u?int(8|16|32|64)|b?float(8_\w+|16|32|64)|complex(32|64|128)'
)
_NUMBERS = 'biufc'
# Views of one storage, as of the shared convs of a head's five levels, may
# have this many times its bytes, or what a model's check of them takes.
_VIEWS = 16


class StorageType(NamedTuple):
    """The class of a storage, such as ``torch.FloatStorage``."""

    dtype: torch.dtype


class Storage(NamedTuple):
    """The memory of tensors, and the dtype that its file says."""

    untyped: torch.UntypedStorage
    dtype: torch.dtype


def set_state(reader: PickleReader, obj: Any, state: Any) -> None:
    """Complete an object, as pickle's BUILD does."""
    if type(obj) is OrderedDict:
        if type(state) is not dict or [*state] != ['_metadata']:
            raise refused('attributes of an OrderedDict')
        _require(
            type(state['_metadata']) in (dict, OrderedDict),
            "a state dict's _metadata is no dict",
        )
        obj._metadata = state['_metadata']
    elif type(obj) is HistoryBuffer:
        _require(type(state) is dict, "a HistoryBuffer's state is no dict")
        _set_history(obj, **state)
    elif type(obj) is np.ndarray:
        _set_array(reader, obj, *state)
    elif isinstance(obj, np.dtype):
        _set_dtype(obj, *state)
    else:
        raise refused(f'a state for a {type(obj).__name__}')


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise CheckpointError(what)


def _is_sizes(values: Any) -> bool:
    return (
        type(values) in (tuple, list, torch.Size)
        and len(values) <= 64
        and all(type(n) is int and 0 <= n < 2**48 for n in values)
    )


def _tensor(
    reader: PickleReader,
    storage: Storage,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool = False,
    hooks: Any = None,
    metadata: Any = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``torch._utils._rebuild_tensor_v2``, within its storage."""
    _require(
        type(storage) is Storage
        and _is_sizes(size)
        and _is_sizes([*stride, offset])
        and len(size) == len(stride)
        and not hooks
        and not metadata,
        'a tensor is described wrongly',
    )
    dtype = dtype or storage.dtype
    last = offset + sum(
        (n - 1) * step for n, step in zip(size, stride, strict=True)
    )
    there = storage.untyped.nbytes() // dtype.itemsize
    _require(
        not prod(size) or last < there,
        f'a tensor of shape {tuple(size)} reads past the end of its storage',
    )
    reader.spend_bytes(prod(size) * dtype.itemsize // _VIEWS)
    tensor = torch.empty(0, dtype=dtype, device=storage.untyped.device)
    tensor.set_(storage.untyped, offset, size, stride)
    return tensor.requires_grad_(requires_grad is True)


def _tensor_v3(reader: PickleReader, *args: Any) -> Tensor:
    """``torch._utils._rebuild_tensor_v3``, whose dtype has no storage."""
    described, (dtype, *metadata) = args[:6], args[6:]
    _require(type(dtype) is torch.dtype, 'a tensor has no dtype')
    return _tensor(reader, *described, *metadata or [None], dtype=dtype)


def _bare_tensor(
    reader: PickleReader, build: Any, kind: Any, args: Any, attributes: Any
) -> Tensor:
    """A tensor without the Python attributes that FSDP has put on it."""
    if kind is not _TENSOR or getattr(build, 'build', None) is not _tensor:
        raise refused(f'_rebuild_from_type_v2 of {show(kind)}, {show(build)}')
    return reader.call(build, args)


def _parameter(
    reader: PickleReader, data: Tensor, requires_grad: bool, hooks: Any
) -> nn.Parameter:
    _require(
        isinstance(data, Tensor) and not hooks, 'a parameter holds no tensor'
    )
    return nn.Parameter(data, requires_grad is True)


def _size(reader: PickleReader, values: Any) -> torch.Size:
    _require(_is_sizes(values), 'a torch.Size holds no sizes')
    return torch.Size(values)


def _device(
    reader: PickleReader, kind: str, index: int | None = None
) -> torch.device:
    name = kind if index is None else f'{kind}:{index}'
    _require(len(name) < 32, 'a device has no name')
    return torch.device(name)


def _bytes(reader: PickleReader, *none: Any) -> bytes:
    if none:
        raise refused(f'builtins.bytes({show(none[0])})')
    return b''


def _bytearray(reader: PickleReader, data: Any = b'') -> bytearray:
    _require(type(data) is bytes, 'a bytearray holds no bytes')
    reader.spend_bytes(len(data))
    return bytearray(data)


def _encode(reader: PickleReader, text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if type(text) is not str or encoding not in ('latin1', 'latin-1'):
        raise refused(f'_codecs.encode to {show(encoding)}')
    reader.spend_bytes(len(text))
    return text.encode('latin1')


def _complex(reader: PickleReader, real: float, imag: float) -> complex:
    return complex(float(real), float(imag))


def _set(reader: PickleReader, items: Any = ()) -> set:
    _require(type(items) in (list, tuple), 'a set holds no list')
    reader.spend_steps(len(items))
    reader.check_keys(items)
    return set(items)


def _ordered_dict(reader: PickleReader, *none: Any) -> OrderedDict:
    _require(not none, 'an OrderedDict is filled when it is made')
    return OrderedDict()


def _counter(reader: PickleReader, counts: Any = None) -> Counter:
    _require(counts is None or type(counts) is dict, 'a Counter holds no dict')
    reader.spend_steps(len(counts or ()))
    reader.check_keys(list(counts or ()))
    return Counter(counts)


def _getattr(reader: PickleReader, owner: Any, name: Any) -> Any:
    """How a ``HistoryBuffer`` pickles its statistics."""
    if owner is not _HISTORY or name not in _STATISTICS:
        raise refused(f'getattr({show(owner)}, {show(name)})')
    return getattr(HistoryBuffer, name)


def _history(reader: PickleReader, *none: Any) -> HistoryBuffer:
    _require(not none, 'a HistoryBuffer is filled when it is made')
    return HistoryBuffer()


def _set_history(
    history: HistoryBuffer,
    max_length: int,
    _log_history: np.ndarray,
    _count_history: np.ndarray,
    **statistics: Any,
) -> None:
    """``HistoryBuffer.__setstate__``, which would take any method."""
    arrays = _log_history, _count_history
    _require(
        type(max_length) is int
        and all(
            type(a) is np.ndarray and a.ndim == 1 and a.dtype.kind in _NUMBERS
            for a in arrays
        )
        and len(_log_history) == len(_count_history)
        and not statistics.keys() - {'statistics_methods'},
        'a HistoryBuffer holds no history',
    )
    history.__dict__.update(
        max_length=max_length,
        _log_history=_log_history,
        _count_history=_count_history,
    )


def _named_alone(name: str) -> Global:
    """A class that a pickle may name and not call."""

    def build(reader: PickleReader, *args: Any) -> None:
        raise refused(f'a call of {name}')

    return Global(name, build)


def _array(
    reader: PickleReader, kind: Any, shape: Any, code: Any
) -> np.ndarray:
    """``numpy._core.multiarray._reconstruct``, before its state is set."""
    if kind is not _NDARRAY or shape != (0,) or code not in (b'b', 'b'):
        raise refused(f'numpy _reconstruct of {show(kind)}, {show(code)}')
    return np.empty(0, 'i1')


def _set_array(
    reader: PickleReader,
    array: np.ndarray,
    version: int,
    shape: tuple[int, ...],
    dtype: np.dtype,
    fortran: bool,
    data: bytes,
) -> None:
    if isinstance(data, str):
        data = _encode(reader, data, 'latin1')  # Python 2's
    _require(
        version == 1
        and type(shape) is tuple
        and _is_sizes(shape)
        and isinstance(dtype, np.dtype)
        and type(fortran) is bool
        and type(data) is bytes
        and len(data) == prod(shape) * dtype.itemsize,
        'an array is not of the size of its data',
    )
    reader.spend_bytes(len(data))
    state: Any = (1, shape, dtype, fortran, data)
    array.__setstate__(state)


def _scalar(reader: PickleReader, dtype: Any, data: Any) -> np.generic:
    if isinstance(data, str):
        data = _encode(reader, data, 'latin1')  # Python 2's
    _require(
        isinstance(dtype, np.dtype)
        and type(data) is bytes
        and len(data) == dtype.itemsize,
        'a scalar is not of the size of its data',
    )
    reader.spend_bytes(len(data))
    return np.ndarray((), dtype, data)[()]


def _dtype(
    reader: PickleReader, code: Any, align: Any = False, copy: Any = True
) -> np.dtype:
    """``numpy.dtype``, of numbers and strings."""
    if type(code) is not str or not _DTYPE.fullmatch(code):
        raise refused(f'numpy.dtype({show(code)})')
    return np.dtype(code, copy=True)


def _set_dtype(dtype: np.dtype, version: int, order: str, *rest: Any) -> None:
    """Set the byte order; no other field may change."""
    size, alignment, flags = rest[3:] if len(rest) == 6 else (None,) * 3
    _require(
        version == 3
        and order in ('<', '>', '|', '=')
        and rest[:3] == (None, None, None)
        and size in (-1, dtype.itemsize)
        and alignment in (-1, dtype.alignment)
        and flags in ((8,) if dtype.kind == 'U' else (0,)),
        f'a state for numpy.dtype({dtype.str!r}) changes more than its order',
    )
    dtype.__setstate__((version, order, None, None, None, *rest[3:]))


def _names() -> dict[str, Any]:
    dtypes = {
        f'torch.{name}': value
        for name, value in vars(torch).items()
        if isinstance(value, torch.dtype) and _TORCH_DTYPE.fullmatch(name)
    }
    storages = {
        f'{module}.{kind}Storage': StorageType(dtype)
        for module in ('torch', 'torch.cuda')
        for kind, dtype in dict(
            Double=torch.float64,
            Float=torch.float32,
            Half=torch.float16,
            BFloat16=torch.bfloat16,
            Long=torch.int64,
            Int=torch.int32,
            Short=torch.int16,
            Char=torch.int8,
            Byte=torch.uint8,
            Bool=torch.bool,
            ComplexDouble=torch.complex128,
            ComplexFloat=torch.complex64,
        ).items()
    }
    calls = {
        'builtins.bytearray': _bytearray,
        'builtins.bytes': _bytes,
        'builtins.complex': _complex,
        'builtins.getattr': _getattr,
        'builtins.set': _set,
        '_codecs.encode': _encode,
        'collections.Counter': _counter,
        'collections.OrderedDict': _ordered_dict,
        'numpy.dtype': _dtype,
        'torch.Size': _size,
        'torch.device': _device,
        'torch._tensor._rebuild_from_type_v2': _bare_tensor,
        'torch._utils._rebuild_parameter': _parameter,
        'torch._utils._rebuild_tensor': _tensor,
        'torch._utils._rebuild_tensor_v2': _tensor,
        'torch._utils._rebuild_tensor_v3': _tensor_v3,
    }
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        calls[f'{module}._reconstruct'] = _array  # of NumPy 1 and 2
        calls[f'{module}.scalar'] = _scalar
    return {
        **dtypes,
        **storages,
        'torch.storage.UntypedStorage': StorageType(torch.uint8),
        _HISTORY.name: _HISTORY,
        **{  # protocol 4 does not need getattr
            f'{_HISTORY.name}.{name}': getattr(HistoryBuffer, name)
            for name in _STATISTICS
        },
        _NDARRAY.name: _NDARRAY,
        _TENSOR.name: _TENSOR,
        **{name: Global(name, build) for name, build in calls.items()},
    }


_HISTORY = Global('mmengine.logging.history_buffer.HistoryBuffer', _history)
_NDARRAY = _named_alone('numpy.ndarray')
_TENSOR = _named_alone('torch.Tensor')
NAMES = _names()
