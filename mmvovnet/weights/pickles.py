"""The pickle in a checkpoint, read as data.

A pickle is a program for a small stack machine. The machine here knows the
opcodes that ``torch.save`` writes and makes plain containers by itself; what
else a pickle may name is in :data:`.allowed.NAMES`. A file can reach no
callable of Python, NumPy or PyTorch, and a file of n bytes takes time and
memory in proportion to n.
"""

import pickletools
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import IO, Any

from .allowed import NAMES, Global, Limits, refused, set_state, show
from .errors import CheckpointError

_PUSHES: dict[str, Callable[[Any], Any]] = {
    'NONE': lambda _: None,
    'NEWTRUE': lambda _: True,
    'NEWFALSE': lambda _: False,
    'EMPTY_DICT': lambda _: {},
    'EMPTY_LIST': lambda _: [],
    'EMPTY_SET': lambda _: set(),
    'EMPTY_TUPLE': lambda _: (),
}
for _name in (
    *('BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT'),
    *('BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8'),
    *('BINSTRING', 'SHORT_BINSTRING'),
    *('BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8'),
):
    _PUSHES[_name] = lambda argument: argument
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

    Args:
        storage (Callable): From what identifies a tensor's storage to it.
        room (int): Bytes that arrays and tensors may take.
    """

    def __init__(self, storage: Callable[[tuple], Any], room: int) -> None:
        self.storage = storage
        self.limits = Limits(room)

    def read(self, file: IO[bytes]) -> Any:
        """Read one pickle, from where the file stands to the pickle's end.

        Raises:
            UnsafeCheckpointError: It asks for what is not in ``NAMES``.
            Exception: Of any kind: it is damaged.
        """
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
            elif name in _PUSHES:
                stack.append(_PUSHES[name](arg))
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
            target = _expect(stack[-1], dict, OrderedDict, Counter)
            target.update(zip(items[::2], items[1::2], strict=True))
        elif name == 'ADDITEMS':
            self.limits.check_keys(items)
            _expect(stack[-1], set).update(items)
        elif name in ('REDUCE', 'NEWOBJ'):
            stack.append(self._call(*items))
        elif name == 'BUILD':
            set_state(self.limits, stack[-1], *items)
        elif name == 'BINPERSID':
            stack.append(self.storage(_expect(*items, tuple)))
        else:
            module, attribute = (_expect(item, str) for item in items)
            stack.append(_find(f'{module}.{attribute}'))

    def _call(self, function: Any, args: Any) -> Any:
        if type(function) is not Global:
            raise refused(f'a call of {show(function)}')
        if function.build is None:
            raise refused(f'a call of {function.name}')
        return function.build(self.limits, *_expect(args, tuple))


def _find(name: str) -> Any:
    # Protocol 2 keeps Python 2's name of this module.
    name = name.replace('__builtin__.', 'builtins.', 1)
    if name not in NAMES:
        raise refused(name)
    return NAMES[name]


def _expect(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise CheckpointError(
            f'its pickle has a {type(value).__name__} in place of a '
            f'{kinds[0].__name__}'
        )
    return value
