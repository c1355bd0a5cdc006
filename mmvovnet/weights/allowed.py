"""What a pickle in a checkpoint may name, and what is made of it.

Arguments come from a file: those without a type can be anything. Each function
takes those that real checkpoints give it, and raises on all others.
"""

import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from math import prod
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

_HISTORY_STATE = ('max_length', '_log_history', '_count_history')
_STATISTICS = ('current', 'max', 'mean', 'min')
_DTYPE = re.compile(r'[<>|=]?(?:[biufc]\d{1,2}|[SU]\d{1,9})|[bBhHiIlLqQefd?]')
_TORCH_DTYPE = re.compile(
    r'bool|u?int(8|16|32|64)|b?float(8_\w+|16|32|64)|complex(32|64|128)'
)
_STORAGES = (
    *('Double', 'Float', 'Half', 'BFloat16', 'ComplexDouble', 'ComplexFloat'),
    *('Long', 'Int', 'Short', 'Char', 'Byte', 'Bool'),
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
            raise CheckpointError(f'its pickle takes over {MAX_STEPS} steps')

    def spend_bytes(self, count: int) -> None:
        """Count what takes memory, before it is taken."""
        self.room -= count
        _require(
            self.room >= 0,
            'its tensors or arrays claim more than the file holds',
        )

    def check_keys(self, keys: list | tuple) -> None:
        """Refuse keys of dicts and sets whose hashes take long."""
        for key in keys:
            if type(key) is str and len(key) <= _KEY_LENGTH:
                continue
            is_tuple = type(key) is tuple and len(key) < 17
            self.keys -= _TUPLE_COST if is_tuple else 1
            for part in key if is_tuple else (key,):
                _require(
                    type(part) in _KEYS
                    and (type(part) is not int or part.bit_length() <= 64)
                    and (
                        type(part) not in (str, bytes)
                        or len(part) <= _KEY_LENGTH
                    ),
                    f'a dict or set has a key of type {type(part).__name__}: '
                    f'keys are texts of at most {_KEY_LENGTH} characters, '
                    'numbers of at most 64 bits, and tuples of them',
                )
        _require(
            self.keys >= 0,
            f'it has more than {MAX_KEYS} keys other than str, where a tuple '
            f'counts as {_TUPLE_COST}',
        )


class Call(NamedTuple):
    """What a pickle may call."""

    # From the limits and the pickle's arguments to an object.
    build: Callable[..., Any]


class Storage(NamedTuple):
    """The memory of tensors, and the dtype that the file gives for it."""

    untyped: torch.UntypedStorage
    dtype: torch.dtype


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise CheckpointError(what)


def _allow(condition: bool, what: str) -> None:
    if not condition:
        raise UnsafeCheckpointError(what)


def _is_sizes(values) -> bool:
    return (
        type(values) in (tuple, list, torch.Size)
        and len(values) <= 64
        and all(type(n) is int and 0 <= n < 2**48 for n in values)
    )


# What builds objects: Python's, PyTorch's, mmengine's and NumPy's.


def _encode(limits: Limits, text, encoding) -> bytes:
    """How protocol 2 writes bytes."""
    _allow(
        type(text) is str and encoding in ('latin1', 'latin-1'),
        '_codecs.encode to another encoding than latin1',
    )
    limits.spend_bytes(len(text))
    return text.encode('latin1')


def _collection(kind: type, source: type) -> Callable[..., Any]:
    def build(limits: Limits, items) -> Any:
        _require(type(items) is source, f'a {kind.__name__} holds no items')
        limits.spend_steps(len(items))
        limits.check_keys([*items])
        return kind(items)

    return build


def _history(limits: Limits) -> HistoryBuffer:
    return HistoryBuffer()


def _statistic(limits: Limits, owner, name) -> None:
    """``getattr``, by which a ``HistoryBuffer`` pickles its statistics."""
    _allow(
        getattr(owner, 'build', None) is _history and name in _STATISTICS,
        'builtins.getattr of other than a HistoryBuffer and its statistics',
    )


def _tensor_v3(
    limits: Limits, storage, offset, size, stride, grad, hooks, dtype, *more
) -> Tensor:
    """``torch._utils._rebuild_tensor_v3``, within its storage."""
    _require(
        type(storage) is Storage
        and _is_sizes(size)
        and _is_sizes([*stride, offset])
        and len(size) == len(stride)
        and type(dtype) in (torch.dtype, type(None))
        and not hooks
        and not any(more),
        'a tensor is described wrongly',
    )
    dtype = dtype or storage.dtype
    last = offset + sum(
        (n - 1) * step for n, step in zip(size, stride, strict=True)
    )
    _require(
        not prod(size) or last < storage.untyped.nbytes() // dtype.itemsize,
        f'a tensor of shape {tuple(size)} reads past the end of its storage',
    )
    limits.spend_bytes(prod(size) * dtype.itemsize // _VIEWS)
    tensor = torch.empty(0, dtype=dtype, device=storage.untyped.device)
    tensor.set_(storage.untyped, offset, size, stride)
    return tensor.requires_grad_(grad is True)


def _tensor_v2(limits: Limits, *args) -> Tensor:
    return _tensor_v3(limits, *args[:6], None, *args[6:])


def _bare_tensor(limits: Limits, build, kind, args, attributes) -> Tensor:
    """A tensor without the Python attributes that FSDP has put on it."""
    _allow(
        kind is Tensor and getattr(build, 'build', None) is _tensor_v2,
        '_rebuild_from_type_v2 of other than a tensor',
    )
    return _tensor_v2(limits, *args)


def _parameter(limits: Limits, data, grad, hooks) -> nn.Parameter:
    _require(
        isinstance(data, Tensor) and not hooks, 'a parameter holds no tensor'
    )
    return nn.Parameter(data, grad is True)


def _size(limits: Limits, values) -> torch.Size:
    _require(_is_sizes(values), 'a torch.Size holds no sizes')
    return torch.Size(values)


def _device(limits: Limits, kind, index=None) -> torch.device:
    name = kind if index is None else f'{kind}:{index}'
    _require(len(name) < 32, 'a device has no name')
    return torch.device(name)


def _array(limits: Limits, kind, shape, code) -> np.ndarray:
    """``numpy._core.multiarray._reconstruct``, before its state is set."""
    _allow(
        kind is np.ndarray and shape == (0,) and code in (b'b', 'b'),
        'numpy _reconstruct of other than an array',
    )
    return np.empty(0, 'i1')


def _data(limits: Limits, data, dtype, count: int = 1) -> bytes:
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


def _scalar(limits: Limits, dtype, data) -> Any:
    return np.ndarray((), dtype, _data(limits, data, dtype))[()]


def _dtype(limits: Limits, code, align=False, copy=True) -> np.dtype:
    _allow(
        type(code) is str and _DTYPE.fullmatch(code) is not None,
        'a numpy.dtype of other than numbers and strings',
    )
    return np.dtype(code, copy=True)


def set_state(limits: Limits, obj: Any, state: Any) -> None:
    """Give an object the state that a pickle holds for it, as BUILD does."""
    if type(obj) is OrderedDict:
        _allow(
            type(state) is dict
            and [*state] == ['_metadata']
            and type(state['_metadata']) in (dict, OrderedDict),
            'attributes of an OrderedDict',
        )
        vars(obj).update(state)
    elif type(obj) is HistoryBuffer:
        # Its own __setstate__ would take any method.
        size, *arrays = (state[key] for key in _HISTORY_STATE)
        _require(
            type(size) is int
            and all(
                type(array) is np.ndarray
                and array.ndim == 1
                and array.dtype.kind in 'biufc'
                for array in arrays
            )
            and len(arrays[0]) == len(arrays[1]),
            'a HistoryBuffer holds no history',
        )
        vars(obj).update({key: state[key] for key in _HISTORY_STATE})
    elif type(obj) is np.ndarray:
        version, shape, dtype, fortran, data = state
        _require(
            version == 1
            and type(shape) is tuple
            and _is_sizes(shape)
            and type(fortran) is bool,
            'an array is described wrongly',
        )
        data = _data(limits, data, dtype, prod(shape))
        obj.__setstate__((1, shape, dtype, fortran, data))
    elif isinstance(obj, np.dtype):
        # NumPy itself writes no other state than that of a byte order.
        orders = (
            obj.newbyteorder('<').__reduce__()[2],
            obj.newbyteorder('>').__reduce__()[2],
        )
        _require(state in orders, f'a wrong state for numpy.dtype {obj.str}')
        obj.__setstate__(state)  # type: ignore[attr-defined]  # no stub
    else:
        raise UnsafeCheckpointError(f'a state for a {type(obj).__name__}')


_HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'
NAMES: dict[str, Any] = {
    _HISTORY: Call(_history),
    'builtins.bytes': Call(lambda _: b''),
    'builtins.getattr': Call(_statistic),
    'builtins.set': Call(_collection(set, list)),
    '_codecs.encode': Call(_encode),
    'collections.Counter': Call(_collection(Counter, dict)),
    'collections.OrderedDict': Call(lambda _: OrderedDict()),
    'numpy.dtype': Call(_dtype),
    'numpy.core.multiarray._reconstruct': Call(_array),  # NumPy 1
    'numpy.core.multiarray.scalar': Call(_scalar),
    'numpy._core.multiarray._reconstruct': Call(_array),  # NumPy 2
    'numpy._core.multiarray.scalar': Call(_scalar),
    'torch.Size': Call(_size),
    'torch.device': Call(_device),
    'torch._tensor._rebuild_from_type_v2': Call(_bare_tensor),
    'torch._utils._rebuild_parameter': Call(_parameter),
    'torch._utils._rebuild_tensor_v2': Call(_tensor_v2),
    'torch._utils._rebuild_tensor_v3': Call(_tensor_v3),
    'numpy.ndarray': np.ndarray,
    'torch.Tensor': Tensor,
    **{f'{_HISTORY}.{name}': None for name in _STATISTICS},  # protocol 4
    **{
        f'torch.{name}': value
        for name, value in vars(torch).items()
        if isinstance(value, torch.dtype) and _TORCH_DTYPE.fullmatch(name)
    },
    **{
        f'{module}.{kind}Storage': getattr(torch, f'{kind}Storage')._dtype
        for module in ('torch', 'torch.cuda')
        for kind in _STORAGES
    },
    'torch.storage.UntypedStorage': torch.uint8,
}
