"""Pickles written opcode by opcode, in archives of torch.save's form."""

import zipfile

import torch


def name(path):
    module, _, attribute = path.rpartition('.')
    return f'c{module}\n{attribute}\n'.encode()


def integer(n):
    size = n.bit_length() // 8 + 1
    return b'\x8a' + bytes([size]) + n.to_bytes(size, 'little', signed=True)


def text(string):
    data = string.encode()
    return b'X' + len(data).to_bytes(4, 'little') + data


def raw(data):
    return call('_codecs.encode', text(data.decode('latin1')), text('latin1'))


def tuple_(*items):
    return b'(' + b''.join(items) + b't'


def list_(*items):
    return b'](' + b''.join(items) + b'e'


def dict_(*keys_and_values):
    return b'}(' + b''.join(keys_and_values) + b'u'


def call(path, *args):
    return name(path) + tuple_(*args) + b'R'


def storage(numel=16, key='0', kind='torch.FloatStorage'):
    parts = text('storage'), name(kind), text(key), text('cpu')
    return tuple_(*parts, integer(numel)) + b'Q'


def tensor(size, stride, numel=16, key='0'):
    return call(
        'torch._utils._rebuild_tensor_v2',
        storage(numel, key),
        integer(0),
        tuple_(*map(integer, size)),
        tuple_(*map(integer, stride)),
        b'\x89',
        call('collections.OrderedDict'),
    )


def dtype(code='f8', order='<', flags=0):
    state = integer(3), text(order), b'NNN'
    sizes = integer(-1), integer(-1), integer(flags)
    return (
        call('numpy.dtype', text(code), b'\x89', b'\x88')
        + tuple_(*state, *sizes)
        + b'b'
    )


RECONSTRUCT = 'numpy.core.multiarray._reconstruct'


def array(shape, data, kind=None):
    made = call(
        RECONSTRUCT, name('numpy.ndarray'), tuple_(integer(0)), raw(b'b')
    )
    shape = tuple_(*map(integer, shape))
    state = integer(1), shape, kind or dtype(), b'\x89', data
    return made + tuple_(*state) + b'b'


def history(*arrays):
    logs, counts = arrays
    cls = 'mmengine.logging.history_buffer.HistoryBuffer'
    return (
        name(cls)
        + b')\x81'
        + dict_(
            text('max_length'),
            integer(10),
            text('_log_history'),
            logs,
            text('_count_history'),
            counts,
        )
        + b'b'
    )


def write(path, pickle, records=None):
    """An archive whose pickle is ``pickle``."""
    records = records or {'0': torch.arange(16.0).numpy().tobytes()}
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('a/data.pkl', b'\x80\x02' + pickle + b'.')
        archive.writestr('a/version', '3')
        archive.writestr('a/byteorder', 'little')
        for key, data in records.items():
            archive.writestr(f'a/data/{key}', data)
    return path
