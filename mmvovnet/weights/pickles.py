"""The pickle in a checkpoint, read as data.

A pickle is a program for a small stack machine. The machine here knows the
opcodes that ``torch.save`` writes and makes plain containers by itself; what
else a pickle may name is in :data:`.allowed.NAMES`. A file can reach no
callable of Python, NumPy or PyTorch, and a file of n bytes takes time and
memory in proportion to n.
"""

import pickletools
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

import torch

from .allowed import NAMES, Call, Limits, Storage, set_state
from .errors import CheckpointError, UnsafeCheckpointError

_MAKES: dict[str, Callable[[], Any]] = dict(
    NONE=type(None),
    NEWTRUE=lambda: True,
    NEWFALSE=bool,
    EMPTY_DICT=dict,
    EMPTY_LIST=list,
    EMPTY_SET=set,
    EMPTY_TUPLE=tuple,
)
_HOLDS = {  # a number, a text or bytes
    *('BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT'),
    *('BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8'),
    *('BINSTRING', 'SHORT_BINSTRING'),
    *('BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8'),
}
# How many items an opcode takes from the stack; None for all to the mark.
_TAKES = {
    **{'TUPLE': None, 'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3},
    **{'APPEND': 1, 'APPENDS': None, 'ADDITEMS': None},
    **{'SETITEM': 2, 'SETITEMS': None},
    **{'REDUCE': 2, 'NEWOBJ': 2, 'BUILD': 1},
    **{'BINPERSID': 1, 'STACK_GLOBAL': 2},
}


class PickleReader:
    """Reads the pickles of one file.

    ``make`` gives the storage of a key, a location and a number of bytes.
    Arrays and tensors may take ``room`` bytes.
    """

    def __init__(
        self,
        make: Callable[[str, str, int], torch.UntypedStorage],
        room: int,
    ) -> None:
        self.make = make
        self.limits = Limits(room)
        self.storages: dict[str, Storage] = {}

    def read(self, file: IO[bytes]) -> Any:
        """Read one pickle; a damaged one can raise any exception."""
        stack: list[Any] = []
        marks: list[list] = []
        memo: dict[int, Any] = {}
        arg: Any
        for opcode, arg, _ in pickletools.genops(file):
            self.limits.spend_steps(1)
            name = opcode.name
            if name in ('BINPUT', 'LONG_BINPUT'):
                memo[arg] = stack[-1]
            elif name in ('BINGET', 'LONG_BINGET'):
                stack.append(memo[arg])
            elif name in _HOLDS:
                stack.append(arg)
            elif name in _MAKES:
                stack.append(_MAKES[name]())
            elif name in _TAKES:
                count = _TAKES[name]
                if count is None:
                    items, stack = stack, marks.pop()
                else:
                    items = stack[-count:]
                    del stack[-count:]
                self._apply(name, items, stack)
            elif name == 'MARK':
                marks.append(stack)
                stack = []
            elif name == 'GLOBAL':
                stack.append(_find(arg.replace(' ', '.', 1)))
            elif name == 'MEMOIZE':
                memo[len(memo)] = stack[-1]
            elif name == 'STOP':
                return stack.pop()
            elif name not in ('PROTO', 'FRAME'):
                raise CheckpointError(f'its pickle uses {name}')
        raise CheckpointError('its pickle has no end')

    def _apply(self, name: str, items: list, stack: list) -> None:
        if name.startswith('TUPLE'):
            stack.append(tuple(items))
        elif name.startswith('APPEND'):
            _expect(stack[-1], list).extend(items)
        elif name.startswith('SETITEM'):
            self.limits.check_keys(items[::2])
            target = _expect(stack[-1], dict, OrderedDict)
            target.update(zip(items[::2], items[1::2], strict=True))
        elif name == 'ADDITEMS':
            self.limits.check_keys(items)
            _expect(stack[-1], set).update(items)
        elif name in ('REDUCE', 'NEWOBJ'):
            function, args = items
            if type(function) is not Call:
                name = getattr(function, '__name__', type(function).__name__)
                raise UnsafeCheckpointError(f'a call of {name}')
            args = _expect(args, tuple)
            stack.append(function.build(self.limits, *args))
        elif name == 'BUILD':
            set_state(self.limits, stack[-1], *items)
        elif name == 'BINPERSID':
            stack.append(self._storage(*_expect(*items, tuple)))
        else:
            module, attribute = (_expect(item, str) for item in items)
            stack.append(_find(f'{module}.{attribute}'))

    def _storage(self, kind, dtype, key, location, numel, *view) -> Storage:
        if (
            kind != 'storage'
            or type(dtype) is not torch.dtype
            or not all(type(x) is str and len(x) < 64 for x in (key, location))
            or type(numel) is not int
            or not 0 <= numel < 2**48
            or view not in ((), (None,))
        ):
            raise CheckpointError('a storage is described wrongly')
        nbytes = numel * dtype.itemsize
        if key not in self.storages:
            made = self.make(key, location, nbytes)
            self.storages[key] = Storage(made, dtype)
        untyped = self.storages[key].untyped
        if untyped.nbytes() != nbytes:
            raise CheckpointError(
                f'storage {key!r} has {untyped.nbytes()} bytes where {nbytes} '
                'are claimed'
            )
        return Storage(untyped, dtype)


def _find(name: str) -> Any:
    # Protocol 2 keeps Python 2's name of this module.
    name = name.replace('__builtin__.', 'builtins.', 1)
    if name in NAMES:
        return NAMES[name]
    raise UnsafeCheckpointError(name)


def _expect(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise CheckpointError(
            f'its pickle has a {type(value).__name__} in place of a '
            f'{kinds[0].__name__}'
        )
    return value
