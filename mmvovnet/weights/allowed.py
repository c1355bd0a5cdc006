"""What a pickle in a checkpoint may name, and what is made of it.

Arguments come from a file. Each function takes those that real checkpoints
give it, and raises on all others.
"""

import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from math import prod
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

from .errors import CheckpointError, UnsafeCheckpointError

# Of a checkpoint of 33 000 tensors; a step takes one to four microseconds.
MAX_STEPS = 1_000_000
# Keys of other types than str can be made to collide in a dict: a tuple's in
# any number, an integer's of more than 64 bits too.
MAX_KEYS = 20_000
_KEY_LENGTH = 4096
_TUPLE_COST = 20  # keys that one tuple counts as
_KEYS = (str, bytes, int, float, bool, type(None))
# Views of one storage, as of the shared convs of a head's five levels, may
# have this many times its bytes, or what a model's check of them takes.
_VIEWS = 16

_HISTORIES = ('_log_history', '_count_history')
_STATISTICS = ('current', 'max', 'mean', 'min')
_DTYPE = re.compile(r'[<>|=]?(?:[biufc]\d{1,2}|[SU]\d{1,9})|[bBhHiIlLqQefd?]')
_TORCH_DTYPE = re.compile(
    r'bool|u?int(8|16|32|64)|b?float(8_\w+|16|32|64)|complex(32|64|128)'
)
_STORAGES = dict(
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
)


class Limits:
    """What the pickles of one file may take; ``room`` is in bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.steps = MAX_STEPS
        self.keys = MAX_KEYS

    def spend_steps(self, count: int) -> None:
        """Count what takes time."""
        self.steps -= count
        if self.steps < 0:
            raise CheckpointError(
                f'its pickle takes more than {MAX_STEPS} steps'
            )

    def spend_bytes(self, count: int) -> None:
        """Count what takes memory, before it is taken."""
        self.room -= count
        if self.room < 0:
            raise CheckpointError(
                'its tensors or arrays claim more than the file holds'
            )

    def check_keys(self, keys: list | tuple) -> None:
        """Refuse keys of dicts and sets whose hashes take long."""
        for key in keys:
            if type(key) is str and len(key) <= _KEY_LENGTH:
                continue
            is_tuple = type(key) is tuple and len(key) < 17
            self.keys -= _TUPLE_COST if is_tuple else 1
            for part in key if is_tuple else (key,):
                if (
                    type(part) not in _KEYS
                    or (type(part) is int and part.bit_length() > 64)
                    or (type(part) in (str, bytes) and len(part) > _KEY_LENGTH)
                ):
                    raise CheckpointError(
                        f'a dict or set has a key of type '
                        f'{type(part).__name__}: keys are texts of at most '
                        f'{_KEY_LENGTH} characters, numbers of at most 64 '
                        'bits, and tuples of them'
                    )
        if self.keys < 0:
            raise CheckpointError(
                f'it has more than {MAX_KEYS} keys other than str, where a '
                f'tuple counts as {_TUPLE_COST}'
            )


class Global(NamedTuple):
    """What a pickle may name."""

    name: str
    # From the limits and the pickle's arguments to an object; None for what
    # may not be called.
    build: Callable[..., Any] | None = None


class StorageType(NamedTuple):
    """The class of a storage, such as ``torch.FloatStorage``."""

    dtype: torch.dtype


class Storage(NamedTuple):
    """The memory of tensors, and the dtype that the file gives for it."""

    untyped: torch.UntypedStorage
    dtype: torch.dtype


def refused(name: str) -> UnsafeCheckpointError:
    """The error for a pickle that asks for more than data."""
    if len(name) > 200:
        name = f'{name[:100]}... ({len(name)} characters)'
    return UnsafeCheckpointError(name)


def show(value: Any) -> str:
    """Words for a value; those of a container could be endless."""
    if type(value) in (str, bytes):
        return repr(value[:60])
    if type(value) is Global:
        return value.name.rpartition('.')[2]
    if isinstance(value, FunctionType):
        return f'<function {value.__qualname__}>'
    return f'<{type(value).__name__}>'


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise CheckpointError(what)


def _is_sizes(values: Any) -> bool:
    return (
        type(values) in (tuple, list, torch.Size)
        and len(values) <= 64
        and all(type(n) is int and 0 <= n < 2**48 for n in values)
    )


# What builds objects: Python's, PyTorch's, mmengine's and NumPy's.


def _empty(kind: type) -> Callable[..., Any]:
    def build(limits: Limits, *args: Any) -> Any:
        if args:
            raise refused(f'{kind.__name__}({show(args[0])})')
        return kind()

    return build


def _encode(limits: Limits, text: Any, encoding: Any) -> bytes:
    """How protocol 2 writes bytes."""
    if type(text) is not str or encoding not in ('latin1', 'latin-1'):
        raise refused(f'_codecs.encode to {show(encoding)}')
    limits.spend_bytes(len(text))
    return text.encode('latin1')


def _set(limits: Limits, items: Any = ()) -> set:
    _require(type(items) in (list, tuple), 'a set holds no list')
    limits.spend_steps(len(items))
    limits.check_keys(items)
    return set(items)


def _counter(limits: Limits, counts: Any = None) -> Counter:
    _require(counts is None or type(counts) is dict, 'a Counter holds no dict')
    limits.spend_steps(len(counts or ()))
    limits.check_keys(list(counts or ()))
    return Counter(counts)


def _statistic(limits: Limits, owner: Any, name: Any) -> Any:
    """``getattr``, by which a ``HistoryBuffer`` pickles its statistics."""
    if owner is not _HISTORY or name not in _STATISTICS:
        raise refused(f'getattr({show(owner)}, {show(name)})')
    return getattr(HistoryBuffer, name)


def _tensor(
    limits: Limits,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    dtype: Any = None,
    metadata: Any = None,
) -> Tensor:
    """``torch._utils._rebuild_tensor_v3``, within its storage."""
    _require(
        type(storage) is Storage
        and _is_sizes(size)
        and _is_sizes([*stride, offset])
        and len(size) == len(stride)
        and type(dtype) in (torch.dtype, type(None))
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
    limits.spend_bytes(prod(size) * dtype.itemsize // _VIEWS)
    tensor = torch.empty(0, dtype=dtype, device=storage.untyped.device)
    tensor.set_(storage.untyped, offset, size, stride)
    return tensor.requires_grad_(requires_grad is True)


def _tensor_v2(limits: Limits, *args: Any) -> Tensor:
    with_dtype = (*args[:6], None, *args[6:])
    return _tensor(limits, *with_dtype)


def _bare_tensor(
    limits: Limits, build: Any, kind: Any, args: Any, attributes: Any
) -> Tensor:
    """A tensor without the Python attributes that FSDP has put on it."""
    if kind is not _TENSOR or getattr(build, 'build', None) is not _tensor_v2:
        raise refused(f'_rebuild_from_type_v2 of {show(kind)}, {show(build)}')
    return _tensor_v2(limits, *args)


def _parameter(
    limits: Limits, data: Any, requires_grad: Any, hooks: Any
) -> nn.Parameter:
    _require(
        isinstance(data, Tensor) and not hooks, 'a parameter holds no tensor'
    )
    return nn.Parameter(data, requires_grad is True)


def _size(limits: Limits, values: Any) -> torch.Size:
    _require(_is_sizes(values), 'a torch.Size holds no sizes')
    return torch.Size(values)


def _device(limits: Limits, kind: Any, index: Any = None) -> torch.device:
    name = kind if index is None else f'{kind}:{index}'
    _require(len(name) < 32, 'a device has no name')
    return torch.device(name)


def _array(limits: Limits, kind: Any, shape: Any, code: Any) -> np.ndarray:
    """``numpy._core.multiarray._reconstruct``, before its state is set."""
    if kind is not _NDARRAY or shape != (0,) or code not in (b'b', 'b'):
        raise refused(f'numpy _reconstruct of {show(kind)}, {show(code)}')
    return np.empty(0, 'i1')


def _data(limits: Limits, data: Any, dtype: Any, count: int = 1) -> bytes:
    """The bytes of ``count`` numbers."""
    if isinstance(data, str):
        data = _encode(limits, data, 'latin1')  # Python 2's
    _require(
        isinstance(dtype, np.dtype)
        and type(data) is bytes
        and len(data) == count * dtype.itemsize,
        'an array or scalar is not of the size of its data',
    )
    limits.spend_bytes(len(data))
    return data


def _scalar(limits: Limits, dtype: Any, data: Any) -> Any:
    return np.ndarray((), dtype, _data(limits, data, dtype))[()]


def _dtype(
    limits: Limits, code: Any, align: Any = False, copy: Any = True
) -> np.dtype:
    if type(code) is not str or not _DTYPE.fullmatch(code):
        raise refused(f'numpy.dtype({show(code)})')
    return np.dtype(code, copy=True)


# What completes objects, as pickle's BUILD does.


def set_state(limits: Limits, obj: Any, state: Any) -> None:
    """Give an object the state that a pickle holds for it."""
    if type(obj) is OrderedDict:
        if (
            type(state) is not dict
            or [*state] != ['_metadata']
            or type(state['_metadata']) not in (dict, OrderedDict)
        ):
            raise refused('attributes of an OrderedDict')
        vars(obj).update(state)
    elif type(obj) is HistoryBuffer:
        _set_history(obj, state)
    elif type(obj) is np.ndarray:
        _set_array(limits, obj, state)
    elif isinstance(obj, np.dtype):
        _set_dtype(obj, state)
    else:
        raise refused(f'a state for a {type(obj).__name__}')


def _set_history(history: HistoryBuffer, state: Any) -> None:
    """``HistoryBuffer.__setstate__``, which would take any method."""
    known = {k: state[k] for k in ('max_length', *_HISTORIES)}
    arrays = [state[k] for k in _HISTORIES]
    _require(
        type(state['max_length']) is int
        and all(
            type(a) is np.ndarray and a.ndim == 1 and a.dtype.kind in 'biufc'
            for a in arrays
        )
        and len(arrays[0]) == len(arrays[1]),
        'a HistoryBuffer holds no history',
    )
    vars(history).update(known)


def _set_array(limits: Limits, array: Any, state: Any) -> None:
    version, shape, dtype, fortran, data = state
    _require(
        version == 1
        and type(shape) is tuple
        and _is_sizes(shape)
        and type(fortran) is bool,
        'an array is described wrongly',
    )
    data = _data(limits, data, dtype, prod(shape))
    array.__setstate__((1, shape, dtype, fortran, data))


def _set_dtype(dtype: Any, state: Any) -> None:
    """Set the byte order: the state must be one that NumPy itself writes."""
    _require(
        any(state == dtype.newbyteorder(x).__reduce__()[2] for x in '<>'),
        f'a state for numpy.dtype({dtype.str!r}) changes more than its order',
    )
    dtype.__setstate__(state)


_HISTORY = Global(
    'mmengine.logging.history_buffer.HistoryBuffer', _empty(HistoryBuffer)
)
_NDARRAY, _TENSOR = Global('numpy.ndarray'), Global('torch.Tensor')
_CALLS: dict[str, Callable[..., Any]] = {
    'builtins.bytes': _empty(bytes),
    'builtins.getattr': _statistic,
    'builtins.set': _set,
    '_codecs.encode': _encode,
    'collections.Counter': _counter,
    'collections.OrderedDict': _empty(OrderedDict),
    'numpy.dtype': _dtype,
    'numpy.core.multiarray._reconstruct': _array,  # NumPy 1
    'numpy.core.multiarray.scalar': _scalar,
    'numpy._core.multiarray._reconstruct': _array,  # NumPy 2
    'numpy._core.multiarray.scalar': _scalar,
    'torch.Size': _size,
    'torch.device': _device,
    'torch._tensor._rebuild_from_type_v2': _bare_tensor,
    'torch._utils._rebuild_parameter': _parameter,
    'torch._utils._rebuild_tensor': _tensor,
    'torch._utils._rebuild_tensor_v2': _tensor_v2,
    'torch._utils._rebuild_tensor_v3': _tensor,
}
NAMES: dict[str, Any] = {
    **{name: Global(name, build) for name, build in _CALLS.items()},
    **{known.name: known for known in (_HISTORY, _NDARRAY, _TENSOR)},
    **{  # protocol 4 does not need getattr
        f'{_HISTORY.name}.{name}': getattr(HistoryBuffer, name)
        for name in _STATISTICS
    },
    **{
        f'torch.{name}': value
        for name, value in vars(torch).items()
        if isinstance(value, torch.dtype) and _TORCH_DTYPE.fullmatch(name)
    },
    **{
        f'{module}.{kind}Storage': StorageType(dtype)
        for module in ('torch', 'torch.cuda')
        for kind, dtype in _STORAGES.items()
    },
    'torch.storage.UntypedStorage': StorageType(torch.uint8),
}
