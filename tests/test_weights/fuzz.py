"""Random pickles of what a checkpoint may hold, mostly a little wrong.

``python -m tests.test_weights.fuzz SEED COUNT`` loads COUNT of them in one
process, uses what loads, and prints how many did. A crash ends the process.
"""

import json
import random
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from mmvovnet.weights import CheckpointError, UnsafeCheckpointError, load

from .opcodes import (
    RECONSTRUCT,
    call,
    dict_,
    integer,
    list_,
    name,
    text,
    tuple_,
    write,
)

NUMBERS = (-1, 0, 1, 2, 3, 4, 8, 16, 63, 255, 2**20, 2**31, 2**40, 2**62)
CODES = ('f8', 'f4', 'i8', 'i1', 'b1', 'u2', 'c16', 'S3', 'U2', 'O', 'V8')
STORAGES = ('FloatStorage', 'LongStorage', 'ByteStorage', 'HalfStorage')
NAMES = (
    *('os.system', 'builtins.eval', 'numpy.ndarray', 'numpy.dtype'),
    *('builtins.getattr', 'builtins.set', 'builtins.bytes', 'torch.Tensor'),
    *('collections.OrderedDict', 'collections.Counter', 'torch.Size'),
    *('torch.device', 'torch.float32', 'torch.FloatStorage', RECONSTRUCT),
    *('torch._utils._rebuild_tensor_v2', '_codecs.encode'),
    'mmengine.logging.history_buffer.HistoryBuffer',
    'numpy.core.multiarray.scalar',
)
HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'


class Grammar:
    """Draws pickles.

    Args:
        seed (int): Of its random numbers.
        wrong (float): Probability that a part is replaced by another.
    """

    def __init__(self, seed, wrong=0.04):
        self.rng = random.Random(seed)
        self.wrong = wrong
        self.memo = 0
        self.depth = 0

    def pickle(self):
        self.memo = 0
        made = self.value()
        if self.rng.random() < 0.1:  # an opcode or an argument of any kind
            made = bytearray(made)
            for _ in range(self.rng.randint(1, 3)):
                position = self.rng.randrange(len(made))
                made[position] = self.rng.randrange(256)
        return bytes(made)

    def part(self, made):
        """A part, or at times another in its place."""
        return self.value() if self.rng.random() < self.wrong else made

    def value(self):
        self.depth += 1
        kinds = (
            *(self.number, self.text, self.name, self.bytes, self.memoized),
            *(self.list, self.dict, self.tuple, self.set, self.tensor),
            *(self.array, self.scalar, self.dtype, self.history, self.call),
            *(self.parameter, self.ordered, self.size, self.constant),
            *(self.nested, self.run),
        )
        made = self.rng.choice(kinds[:5] if self.depth > 5 else kinds)()
        if self.rng.random() < 0.2:
            self.memo += 1
            made += b'q' + bytes([self.memo % 256])
        self.depth -= 1
        return made

    def values(self):
        return [self.value() for _ in range(self.rng.randint(0, 4))]

    def nested(self):
        """Containers within one another, many thousands deep."""
        depth = self.rng.choice((10, 1000, 30_000))
        kind = self.rng.randrange(4)
        if kind == 0:
            return b']' * depth + b'a' * (depth - 1)
        if kind == 1:
            return b'(' * depth + b't' * depth
        if kind == 2:
            return b'}' + b'N}' * depth + b's' * depth
        return self.part(self.value()) + b'\x85' * depth

    def run(self):
        """One kind of thing many times."""
        count = self.rng.choice((10, 1000, 20_000))
        kind = self.rng.randrange(5)
        if kind == 0:
            part = self.part(integer(1))[:100]  # else a file of gigabytes
            return b'](' + part * count + b'e'
        if kind == 1:
            return b'N' * count + b']' + b'Na' * count
        if kind == 2:  # numbers of one hash, alone or in tuples
            tuples = self.rng.random() < 0.5
            keys = (integer(i * (2**61 - 1)) for i in range(count // 10))
            items = ((tuple_(k) if tuples else k) + b'N' for k in keys)
            return dict_(*items)
        if kind == 3:
            return b'N' * count + b'}' + b'\x8c\x01aNs' * count
        pushed = b'(' * count
        return pushed + self.part(b't' * count)

    def number(self):
        if self.rng.random() < 0.7:
            return integer(self.rng.choice(NUMBERS[:9]))
        return integer(self.rng.choice(NUMBERS) * self.rng.choice((1, -1)))

    def text(self):
        words = 'a', 'storage', 'cpu', '0', 'f8', 'O', 'latin1', '_metadata'
        return text(self.rng.choice(words))

    def constant(self):
        return self.rng.choice((b'N', b'\x88', b'\x89', b')', b']', b'}'))

    def name(self):
        return name(self.rng.choice(NAMES))

    def memoized(self):
        return b'h' + bytes([self.rng.randint(0, self.memo + 1) % 256])

    def bytes(self, count=None):
        count = self.rng.choice((0, 1, 8, 16, 24)) if count is None else count
        data = self.part(text(self.rng.randbytes(count).decode('latin1')))
        return call('_codecs.encode', data, text('latin1'))

    def list(self):
        return list_(*self.values())

    def dict(self):
        keys = (self.part(self.text()) for _ in range(3))
        return dict_(*(part for k in keys for part in (k, self.value())))

    def tuple(self):
        return tuple_(*self.values())

    def set(self):
        numbers = (self.part(self.number()) for _ in range(3))
        return call('builtins.set', self.part(list_(*numbers)))

    def ordered(self):
        state = dict_(self.part(text('_metadata')), self.dict())
        return call('collections.OrderedDict') + self.part(state) + b'b'

    def call(self):
        opcode = self.rng.choice((b'R', b'\x81', b'b', b'Q'))
        return self.name() + tuple_(*self.values()) + opcode

    def size(self):
        shape = tuple_(self.number(), self.number())
        return call('torch.Size', self.part(shape))

    def storage(self):
        kind = f'torch.{self.rng.choice(STORAGES)}'
        numel = {'F': 16, 'L': 8, 'B': 64, 'H': 32}[kind[6]]
        return (
            tuple_(
                self.part(text('storage')),
                self.part(name(kind)),
                self.part(text(self.rng.choice('001'))),
                self.part(text('cpu')),
                self.part(integer(numel)),
            )
            + b'Q'
        )

    def tensor(self):
        shape = [self.rng.choice((0, 1, 2, 4)) for _ in range(2)]
        strides = [self.rng.choice((0, 1, 2, 4, 8)) for _ in range(2)]
        return call(
            'torch._utils._rebuild_tensor_v2',
            self.part(self.storage()),
            self.part(integer(self.rng.randint(0, 2))),
            self.part(tuple_(*(self.part(integer(n)) for n in shape))),
            self.part(tuple_(*(self.part(integer(n)) for n in strides))),
            self.part(b'\x89'),
            self.part(call('collections.OrderedDict')),
        )

    def parameter(self):
        return call(
            'torch._utils._rebuild_parameter',
            self.part(self.tensor()),
            self.part(b'\x88'),
            call('collections.OrderedDict'),
        )

    def dtype(self, code=None):
        code = code or self.rng.choice(CODES)
        sizes = {'S': (3, 1, 0), 'U': (8, 4, 8)}.get(code[0], (-1, -1, 0))
        state = (
            self.part(integer(3)),
            self.part(text(self.rng.choice('<>|='))),
            *(self.part(b'N') for _ in range(3)),
            *(self.part(integer(n)) for n in sizes),
        )
        made = call('numpy.dtype', self.part(text(code)), b'\x89', b'\x88')
        return made + self.part(tuple_(*state)) + b'b'

    def array(self):
        made = call(
            RECONSTRUCT,
            self.part(name('numpy.ndarray')),
            self.part(tuple_(integer(0))),
            self.part(call('_codecs.encode', text('b'), text('latin1'))),
        )
        state = (
            self.part(integer(1)),
            self.part(tuple_(self.part(integer(2)))),
            self.part(self.dtype('f8')),
            self.part(b'\x89'),
            self.part(self.bytes(16)),
        )
        return made + self.part(tuple_(*state)) + b'b'

    def scalar(self):
        return call(
            'numpy.core.multiarray.scalar',
            self.part(self.dtype('f8')),
            self.part(self.bytes(8)),
        )

    def history(self):
        state = dict_(
            self.part(text('max_length')),
            self.part(integer(10)),
            self.part(text('_log_history')),
            self.part(self.array()),
            self.part(text('_count_history')),
            self.part(self.array()),
        )
        return name(HISTORY) + b')\x81' + self.part(state) + b'b'


def use(loaded):
    """Touch the memory of all that was loaded."""
    todo, seen = [loaded], set()
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            todo += [*value, *value.values(), getattr(value, 'x', None)]
        elif isinstance(value, list | tuple | set):
            todo += value
        elif isinstance(value, torch.Tensor):
            value.detach().clone().double().sum().item()
        elif isinstance(value, np.ndarray | np.generic):
            value.tobytes()
            value.tolist()
            np.array(value, copy=True)
        elif isinstance(value, np.dtype):
            np.zeros(min(2, value.itemsize), value).tolist()
        elif type(value).__name__ == 'HistoryBuffer':
            todo += value.data


def fuzz(seed, count):
    """Load pickles; give how many loaded, how long and how much it took."""
    records = {'0': bytes(range(64)), '1': b''}
    found = dict(loaded=0, refused=0, damaged=0, slowest=0.0)
    with TemporaryDirectory() as folder:
        path = Path(folder, 'fuzz.pth')
        grammar = Grammar(seed)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(count):
            write(path, grammar.pickle(), records)
            start = time.perf_counter()
            try:
                use(load(path))
                kind = 'loaded'
            except UnsafeCheckpointError:
                kind = 'refused'
            except CheckpointError:
                kind = 'damaged'
            seconds = time.perf_counter() - start
            found[kind] += 1
            found['slowest'] = max(found['slowest'], round(seconds, 3))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found['megabytes'] = (after - before) // 1024
    return found


if __name__ == '__main__':
    print(json.dumps(fuzz(*map(int, sys.argv[1:]))))
