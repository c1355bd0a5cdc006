"""Files made to harm whoever loads them, each by one function of a path."""

import os
import resource
import struct
import time
from pathlib import Path

import torch
from mmengine.runner import CheckpointLoader

import mmvovnet.engine  # noqa: F401, the loader

from .opcodes import (
    RECONSTRUCT,
    array,
    call,
    dict_,
    dtype,
    history,
    integer,
    list_,
    name,
    raw,
    tensor,
    text,
    tuple_,
    write,
)

POINTER = raw(b'\x41' * 8)


def ndarray_of_pointers(path):
    made = call('numpy.ndarray', tuple_(integer(1)), text('O'), POINTER)
    write(path, list_(made))


def history_of_pointers(path):
    made = call('numpy.ndarray', tuple_(integer(1)), text('O'), POINTER)
    write(path, history(made, array([1], POINTER)))


def reconstruct_objects(path):
    made = call(
        RECONSTRUCT, name('numpy.ndarray'), tuple_(integer(2)), raw(b'O')
    )
    write(path, list_(made))


def dtype_with_object_flag(path):
    write(path, list_(array([1], POINTER, dtype(flags=63))))


def dtype_of_objects(path):
    write(path, list_(array([1], list_(b'N'), dtype('O', '|', 63))))


def array_of_gigabytes(path):
    write(path, list_(array([1_100_000_000], raw(b''))))


def reconstruct_gigabytes(path):
    shape = tuple_(integer(1_100_000_000))
    write(path, call(RECONSTRUCT, name('numpy.ndarray'), shape, text('f8')))


def string_of_gigabytes(path):
    kind = dtype('S900000000')
    write(path, call('numpy.core.multiarray.scalar', kind, raw(b'')))


def tensor_of_stride_0(path):
    write(path, dict_(text('a.weight'), tensor([2 * 10**9], [0])))


def tensor_past_its_storage(path):
    write(path, dict_(text('a.weight'), tensor([17], [1])))


def storage_past_its_record(path):
    write(path, dict_(text('a.weight'), tensor([900], [1], numel=900)))


def views_of_one_storage(path):
    """A check of all of them for NaN would take minutes."""
    view = tensor([10**6], [1], numel=10**6)
    views = (text(f'w{i}') + view for i in range(5000))
    write(path, dict_(*views), {'0': bytes(4 * 10**6)})


def doubled(depth):
    """A tuple of a tuple twice, and so on: 2**depth empty ones."""
    return b')q\x00' + b''.join(
        b'h' + bytes([i, ord('h'), i]) + b'\x86q' + bytes([i + 1])
        for i in range(depth)
    )


def key_of_doubled_tuples(path):
    write(path, dict_(doubled(60), b'N'))


def set_of_doubled_tuples(path):
    write(path, call('builtins.set', list_(doubled(60))))


def call_of_doubled_tuples(path):
    """An error that showed them would be of 2**60 letters."""
    write(path, doubled(60) + b')R')


def key_of_a_deep_tuple(path):
    write(path, dict_(b')' + b'\x85' * 400_000, b'N'))


def counter_of_a_deep_tuple(path):
    """``Counter.update`` would hash keys together with their values."""
    deep = b')' + b'\x85' * 200_000
    made = call('collections.Counter', b'}')
    write(path, made + b'(' + text('a') + deep + b'u')


def colliding_keys(path):
    """Numbers of one hash."""
    keys = (integer(i * (2**61 - 1)) + b'N' for i in range(200_000))
    write(path, dict_(*keys))


def long_keys(path):
    """Two equal keys, compared a million times."""
    key = text('x' * 5_000_000)
    again = key + b'q\x01N' + b'h\x01N' * 500_000
    write(path, dict_(key, b'N', again))


def long_name(path):
    write(path, b'c' + b'x' * 5_000_000 + b'\ny\n)R')


def many_opcodes(path):
    write(path, list_(b'N' * 3_000_000))


def copied_bytes(path):
    """Five megabytes, decoded anew ten thousand times."""
    first = text('x' * 5_000_000) + b'q\x01' + text('latin1') + b'q\x02'
    copies = (name('_codecs.encode') + b'h\x01h\x02\x86R') * 10_000
    write(path, list_(first, copies))


def copied_sets(path):
    items = list_(*map(integer, range(15_000))) + b'q\x01'
    copies = (name('builtins.set') + b'h\x01\x85R') * 20_000
    write(path, list_(items, copies))


def swapped_arrays(path):
    """Arrays of another byte order are copies of their data."""
    first = raw(bytes(8 * 10**6)) + b'q\x01'
    copy = array([10**6], b'h\x01', dtype(order='>'))
    write(path, list_(first, copy * 1000))


def two_directories(path):
    """One reader takes the first archive, another the second."""
    first, second = Path(f'{path}.1'), Path(f'{path}.2')
    torch.save(dict(a=torch.zeros(1)), first)
    torch.save(dict(a=torch.ones(1)), second)
    path.write_bytes(first.read_bytes() + second.read_bytes())
    first.unlink()
    second.unlink()


def moved_zip64_directory(path):
    """The locator points to one, and another stands before it."""
    torch.save(dict(a=torch.zeros(1)), path)
    data = bytearray(path.read_bytes())
    data[-50:-42] = struct.pack('<Q', 7)
    path.write_bytes(data)


def long_directory(path):
    entry = b'PK\x01\x02' + bytes(24) + struct.pack('<H', 1) + bytes(16)
    records = (entry + b'x') * 400_000
    start = b'PK\x03\x04' + bytes(26)
    end = struct.pack(
        '<4s4H2LH', b'PK\x05\x06', 0, 0, 0, 0, len(records), len(start), 0
    )
    path.write_bytes(start + records + end)


def two_records_of_a_name(path):
    write(path, list_(b'N'), {'0': b'', '1': b''})
    path.write_bytes(path.read_bytes().replace(b'data/1', b'data/0'))


def old_format_of_gigabytes(path):
    torch.save(
        dict(a=torch.zeros(3)), path, _use_new_zipfile_serialization=False
    )
    data = path.read_bytes().replace(b'K\x03Nt', b'J\x00\x00\x00\x70Nt')
    path.write_bytes(data)


def old_format_of_a_long_string(path):
    torch.save({}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    start = data.rindex(b'\x80\x02}')
    path.write_bytes(data[:start] + b'\x80\x02X\xff\xff\xff\xffx')


def pipe(path):
    os.mkfifo(path)


HARMFUL = [
    value
    for value in list(globals().values())
    if getattr(value, '__code__', None)
    and value.__module__ == __name__
    and value.__code__.co_varnames[:1] == ('path',)
]


def judge(path):
    """Load a file; give what was said, the seconds and the megabytes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limit = before * 1024 + 40 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    start = time.perf_counter()
    try:
        CheckpointLoader.load_checkpoint(str(path), 'cpu', 'silent')
        said = 'loaded'
    except BaseException as error:
        said = f'{type(error).__name__}: {str(error)[:1000]}'
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return said, seconds, (after - before) / 1024
