"""The pickle in a checkpoint, read as data.

A pickle is a program for a small stack machine. The machine here knows the
opcodes that ``torch.save`` writes and makes plain containers by itself; for
all else it asks a table of names, :data:`.objects.NAMES`. No callable of
Python, NumPy or PyTorch is within reach of a file, and a file of n bytes takes
time and memory in proportion to n.
"""

import pickletools
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import IO, Any, NamedTuple

from .errors import CheckpointError, UnsafeCheckpointError

# Of a checkpoint of 33 000 tensors; a step takes one to four microseconds.
MAX_STEPS = 1_000_000
# Keys of other types than str can be made to collide in a dict: a tuple's in
# any number, an integer's of more than 64 bits too.
MAX_KEYS = 20_000
MAX_KEY_LENGTH = 4096
_TUPLE_COST = 20  # keys that one tuple counts as

_KEYS = (str, bytes, int, float, bool, type(None))
_DICTS = (dict, OrderedDict, Counter)
_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
_EMPTY = {
    'EMPTY_DICT': dict,
    'EMPTY_LIST': list,
    'EMPTY_SET': set,
    'EMPTY_TUPLE': tuple,
}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
_PUTS = ('BINPUT', 'LONG_BINPUT')
_GETS = ('BINGET', 'LONG_BINGET')
_ARGUMENTS = {
    *('BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT'),
    *('BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8'),
    *('BINSTRING', 'SHORT_BINSTRING'),
    *('BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8'),
}


class Global(NamedTuple):
    """What a pickle may call.

    Args:
        name (str): Its name, for messages.
        build (Callable): From the reader and the pickle's arguments to an
            object; it raises on arguments that make no data.
    """

    name: str
    build: Callable[..., Any]


class PickleReader:
    """Reads the pickles of one file.

    Args:
        names (Mapping): What a pickle may name: a :class:`Global`, or a
            constant.
        set_state (Callable): Called with the reader, an object and the state
            that a pickle gives it.
        storage (Callable): From what identifies a tensor's storage to it.
        room (int): Bytes that may be made of the pickle's own.
    """

    def __init__(
        self,
        names: Mapping[str, Any],
        set_state: Callable[['PickleReader', Any, Any], None],
        storage: Callable[[tuple], Any],
        room: int,
    ) -> None:
        self.names = names
        self.set_state = set_state
        self.storage = storage
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

    def read(self, file: IO[bytes]) -> Any:
        """Read one pickle, from where the file stands to the pickle's end.

        Raises:
            UnsafeCheckpointError: If it asks for what is not in ``names``.
            Exception: Of any kind, if it is damaged.
        """
        stack: list[Any] = []
        marks: list[list] = []
        memo: dict[int, Any] = {}
        arg: Any
        for opcode, arg, _ in pickletools.genops(file):
            self.spend_steps(1)
            name = opcode.name
            if name in _PUTS:
                memo[arg] = stack[-1]
            elif name in _GETS:
                stack.append(memo[arg])
            elif name in _ARGUMENTS:
                stack.append(arg)
            elif name in _EMPTY:
                stack.append(_EMPTY[name]())
            elif name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            elif name == 'MARK':
                marks.append(stack)
                stack = []
            elif name == 'TUPLE':
                items, stack = stack, marks.pop()
                stack.append(tuple(items))
            elif name in _TUPLES:
                count = _TUPLES[name]
                items = stack[-count:]
                del stack[-count:]
                stack.append(tuple(items))
            elif name in ('APPEND', 'APPENDS'):
                items, stack = _take(name == 'APPENDS', 1, stack, marks)
                _expect(stack[-1], list).extend(items)
            elif name in ('SETITEM', 'SETITEMS'):
                items, stack = _take(name == 'SETITEMS', 2, stack, marks)
                self.fill(stack[-1], items)
            elif name == 'ADDITEMS':
                items, stack = stack, marks.pop()
                self.check_keys(items)
                _expect(stack[-1], set).update(items)
            elif name in ('REDUCE', 'NEWOBJ'):
                args, function = stack.pop(), stack.pop()
                stack.append(self.call(function, args))
            elif name == 'BUILD':
                state = stack.pop()
                self.set_state(self, stack[-1], state)
            elif name == 'BINPERSID':
                stack.append(self.storage(_expect(stack.pop(), tuple)))
            elif name == 'GLOBAL':
                stack.append(self.find(arg.replace(' ', '.', 1)))
            elif name == 'STACK_GLOBAL':
                attribute, module = stack.pop(), stack.pop()
                stack.append(
                    self.find(
                        f'{_expect(module, str)}.{_expect(attribute, str)}'
                    )
                )
            elif name == 'MEMOIZE':
                memo[len(memo)] = stack[-1]
            elif name == 'STOP':
                return stack.pop()
            elif name not in ('PROTO', 'FRAME'):
                raise CheckpointError(f'its pickle uses {name}')
        raise CheckpointError('its pickle has no end')

    def find(self, name: str) -> Any:
        """What a name stands for."""
        # Python 2's names, which protocol 2 keeps.
        name = name.replace('__builtin__.', 'builtins.', 1)
        if name not in self.names:
            raise refused(name)
        return self.names[name]

    def call(self, function: Any, args: Any) -> Any:
        """Build an object."""
        if type(function) is not Global:
            raise refused(f'a call of {show(function)}')
        return function.build(self, *_expect(args, tuple))

    def fill(self, target: dict, items: list) -> None:
        """Set items, given as key, value, key, value."""
        if type(target) not in _DICTS or len(items) % 2:
            raise CheckpointError('its pickle sets items of no dict')
        self.check_keys(items[::2])
        target.update(zip(items[::2], items[1::2], strict=True))

    def check_keys(self, keys: list) -> None:
        """Refuse keys of dicts and sets whose hashes take long."""
        for key in keys:
            if type(key) is str and len(key) <= MAX_KEY_LENGTH:
                continue
            parts = key if type(key) is tuple and len(key) < 17 else (key,)
            self.keys -= 1 if parts is not key else _TUPLE_COST
            for part in parts:
                if type(part) not in _KEYS:
                    raise CheckpointError(
                        f'a {type(part).__name__} is no key of a dict or set '
                        'in a checkpoint'
                    )
                if type(part) in (str, bytes) and len(part) > MAX_KEY_LENGTH:
                    raise CheckpointError(
                        f'a key of a dict or set has {len(part)} characters'
                    )
                if type(part) is int and part.bit_length() > 64:
                    raise CheckpointError(
                        f'a key of a dict or set has {part.bit_length()} bits'
                    )
        if self.keys < 0:
            raise CheckpointError(
                f'it has more than {MAX_KEYS} keys other than str, where a '
                f'tuple counts as {_TUPLE_COST}'
            )


def refused(name: str) -> UnsafeCheckpointError:
    """The error for a pickle that asks for something."""
    if len(name) > 200:
        name = f'{name[:100]}... ({len(name)} characters)'
    return UnsafeCheckpointError(name)


def show(value: Any) -> str:
    """Words for a value; a container's could be endless."""
    if type(value) in (str, bytes):
        return repr(value[:60])
    if type(value) is Global:
        return value.name.rpartition('.')[2]
    if isinstance(value, FunctionType):
        return f'<function {value.__qualname__}>'
    return f'<{type(value).__name__}>'


def _take(
    many: bool, count: int, stack: list, marks: list[list]
) -> tuple[list, list]:
    """Items down to the mark, or ``count``, and the stack below them."""
    if many:
        return stack, marks.pop()
    items = stack[-count:]
    del stack[-count:]
    return items, stack


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise CheckpointError(
            f'its pickle has a {type(value).__name__} in place of a '
            f'{kind.__name__}'
        )
    return value
