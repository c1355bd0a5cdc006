import os
import pickle
import random
import re
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict
from unittest.mock import patch

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmvovnet.weights import (
    CheckpointError,
    UnsafeCheckpointError,
    is_whole,
    load,
)

from . import opcodes

REBUILD = torch._tensor._rebuild_from_type_v2


def save(obj, path, pickled=None, **kwargs):
    """torch.save, with the pickle inside replaced by ``pickled``."""
    torch.save(obj, path, **kwargs)
    if pickled is not None:
        with zipfile.ZipFile(path) as archive:
            records = {n: archive.read(n) for n in archive.namelist()}
        with zipfile.ZipFile(path, 'w') as archive:
            for name, data in records.items():
                is_pickle = name.endswith('/data.pkl')
                archive.writestr(name, pickled if is_pickle else data)
    return path


class Asks:
    """Pickles as a call of ``function`` with ``args``."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize('protocol', [2, 4])
def test_everything_that_is_data(tmp_path, protocol):
    history = HistoryBuffer()
    history.update(2.0)
    history.update(4.0)
    saved = dict(
        state_dict=OrderedDict(weight=torch.randn(3, 2), step=torch.tensor(5)),
        half=torch.ones(2, dtype=torch.bfloat16),
        arrays=[
            np.arange(3),
            np.ones((2, 2), 'f4'),
            np.array(['a', 'bc']),
            np.empty(0),
        ],
        big_endian=np.arange(3, dtype='>i4'),
        scalars=(np.float64(0.25), np.int64(3), np.bool_(True)),
        dtype=np.dtype('float32'),
        torch=(torch.float16, torch.Size([1, 2]), torch.device('cuda', 1)),
        eight_bits=torch.ones(2).to(torch.float8_e4m3fn),
        unsigned=torch.ones(2, dtype=torch.uint16),
        parameter=torch.nn.Parameter(torch.ones(2)),
        counter=Counter({8: 1, 11: 2}),
        empty=[b'', np.str_(''), torch.zeros(0, 3)],
        plain={'a': [1, 2.5, None, True, 'x', b'y', {3}]},
        history=history,
    )
    saved['state_dict']['weight']._is_sharded = True
    saved['state_dict']._metadata = {'': {'version': 1}}
    path = save(saved, tmp_path / 'a.pth', pickle_protocol=protocol)
    loaded = load(path)
    assert loaded.keys() == saved.keys()
    torch.testing.assert_close(loaded['state_dict'], saved['state_dict'])
    assert not vars(loaded['state_dict']['weight'])
    assert loaded['state_dict']._metadata == {'': {'version': 1}}
    assert loaded['half'].equal(saved['half'])
    for name in ('arrays', 'scalars'):
        for a, b in zip(loaded[name], saved[name], strict=True):
            assert type(a) is type(b) and a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    assert loaded['big_endian'].tolist() == [0, 1, 2]
    assert np.dtype('i4').isnative
    for name in ('torch', 'plain', 'counter', 'dtype'):
        assert loaded[name] == saved[name]
        assert type(loaded[name]) is type(saved[name])
    for name in ('eight_bits', 'unsigned'):
        assert loaded[name].dtype == saved[name].dtype
        assert loaded[name].tolist() == [1, 1]
    assert type(loaded['parameter']) is torch.nn.Parameter
    assert loaded['empty'][:2] == saved['empty'][:2]
    assert loaded['empty'][2].shape == (0, 3)
    assert loaded['history'].mean() == 3
    assert loaded['history'].statistics('max') == 4


@pytest.mark.parametrize('ours', ['numpy.core', 'numpy._core'])
def test_arrays_of_numpy_1_and_2(tmp_path, ours):
    """Each numpy reads what the other one wrote."""
    array = np.arange(4.0)
    here = np.empty(0).__reduce__()[0].__module__.rpartition('.')[0]
    pickled = pickle.dumps([array, array[1]], protocol=2)
    pickled = pickled.replace(here.encode(), ours.encode())
    first, second = load(save(0, tmp_path / 'a.pth', pickled))
    assert first.tolist() == [0, 1, 2, 3] and second == 1


@pytest.mark.parametrize(
    'asked, payload',
    [
        ('system', lambda mark: Asks(os.system, f'touch {mark}')),
        ('eval', lambda mark: Asks(eval, f'open({mark!r}, "w")')),
        ('exec', lambda mark: Asks(exec, f'open({mark!r}, "w")')),
        ('io.open', lambda mark: Asks(open, mark, 'w')),
        ('.call', lambda mark: Asks(subprocess.call, ['touch', mark])),
        # getattr is there for the statistics of HistoryBuffer alone
        (
            'builtins.getattr',
            lambda mark: Asks(getattr, HistoryBuffer, 'register_statistics'),
        ),
        (
            'builtins.getattr',
            lambda mark: Asks(getattr, HistoryBuffer.mean, '__globals__'),
        ),
        (
            'builtins.getattr',
            lambda mark: Asks(getattr, torch.Tensor, 'numpy'),
        ),
        # nor can what it returns be called or changed
        (
            'a call of NoneType',
            lambda mark: Asks(HistoryBuffer.mean, mark),
        ),
        (
            'system',
            lambda mark: Asks(HistoryBuffer.mean, Asks(os.system, mark)),
        ),
        # tensors with attributes, as FSDP's, are rebuilt by nothing else
        (
            '_rebuild_from_type_v2',
            lambda mark: Asks(REBUILD, getattr, torch.Tensor, (mark,), {}),
        ),
        (
            'system',
            lambda mark: Asks(REBUILD, os.system, torch.Tensor, (mark,), {}),
        ),
        (
            'a call of Tensor',
            lambda mark: Asks(torch.Tensor, 2),
        ),
        # arrays of pointers
        ('numpy.dtype', lambda mark: Asks(np.dtype, 'O')),
        ('numpy.dtype', lambda mark: np.zeros(2, [('a', 'O')])),
    ],
)
def test_refuses_what_is_not_data(tmp_path, asked, payload):
    mark = tmp_path / 'mark'
    saved = dict(state_dict={}, meta=[payload(str(mark))])
    with pytest.raises(UnsafeCheckpointError, match=re.escape(asked)) as error:
        load(save(saved, tmp_path / 'evil.pth'))
    assert 'evil.pth' in str(error.value)
    assert not mark.exists()


def test_refuses_it_in_the_old_format(tmp_path):
    path, mark = tmp_path / 'evil.pth', tmp_path / 'mark'
    payload = Asks(os.system, f'touch {mark}')
    save([payload], path, _use_new_zipfile_serialization=False)
    with pytest.raises(UnsafeCheckpointError, match='system'):
        load(path)
    assert not mark.exists()


def test_allows_nothing_to_others(tmp_path):
    path = save(HistoryBuffer(), tmp_path / 'a.pth')
    load(path)
    with pytest.raises(pickle.UnpicklingError, match='HistoryBuffer'):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize('log', [np.ones((1, 1)), np.array(['a']), [1.0]])
def test_a_history_holds_rows_of_numbers(tmp_path, log):
    history = HistoryBuffer()
    history._log_history, history._count_history = log, np.ones(1)
    with pytest.raises(CheckpointError, match='holds no history'):
        load(save(history, tmp_path / 'a.pth'))


def test_old_format(tmp_path):
    path = tmp_path / 'a.pth'
    saved = dict(weight=torch.randn(3), epoch=4)
    torch.save(saved, path, _use_new_zipfile_serialization=False)
    loaded = load(path)
    assert loaded['weight'].equal(saved['weight']) and loaded['epoch'] == 4
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(
        CheckpointError, match=r'a\.pth.*cut off.*save it again'
    ):
        load(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth'):
        load(tmp_path / 'nowhere.pth')
    with pytest.raises(CheckpointError, match='is a folder'):
        load(tmp_path)


@pytest.mark.parametrize(
    'damage, said',
    [
        (lambda data: b'', 'is empty'),
        (lambda data: data[:-30], 'end is missing.*save it again'),
        (lambda data: data[: len(data) // 2], 'end is missing'),
        (lambda data: data.replace(b'data.pkl', b'data.\xffkl'), 'decode'),
        (lambda data: b'<!DOCTYPE html>\n<html>', '<!DOCTYPE html.*web page'),
        (lambda data: b'version https://git-lfs.com', 'version https'),
        (lambda data: pickle.dumps({'a': 1}), 'no file of torch.save'),
    ],
)
def test_damaged_file(tmp_path, damage, said):
    path = save(dict(a=torch.randn(100)), tmp_path / 'a.pth')
    assert is_whole(path)
    path.write_bytes(damage(path.read_bytes()))
    assert not is_whole(path)
    with pytest.raises(CheckpointError, match=said) as error:
        load(path)
    assert str(path) in str(error.value) and '\n' not in str(error.value)


def test_views_share_their_storage(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    saved = dict(a=whole, b=whole.t(), c=whole[1:, ::2], d=whole)
    loaded = load(save(saved, tmp_path / 'a.pth'))
    for name, value in saved.items():
        assert loaded[name].equal(value)
        assert loaded[name].stride() == value.stride()
    loaded['a'].zero_()
    assert not loaded['c'].any()


def flipped(data, position, bit):
    data = bytearray(data)
    data[position] ^= 1 << bit
    return bytes(data)


def test_no_bit_flips_in_silence(tmp_path):
    """In tensors none; in the directory, those that say nothing."""
    saved = dict(weight=torch.randn(100), bias=torch.randn(7))
    path = save(saved, tmp_path / 'a.pth')
    whole = path.read_bytes()
    tensors = whole.index(saved['weight'].numpy().tobytes())
    directory = whole.index(b'PK\x01\x02')
    rng = random.Random(0)
    for _ in range(200):
        position = tensors + rng.randrange(400)
        path.write_bytes(flipped(whole, position, rng.randrange(8)))
        with pytest.raises(CheckpointError, match='checksum.*data/0'):
            load(path)
    refused = 0
    for _ in range(200):
        position = rng.randrange(directory, len(whole))
        path.write_bytes(flipped(whole, position, rng.randrange(8)))
        try:
            torch.testing.assert_close(load(path), saved, atol=0, rtol=0)
        except CheckpointError:
            refused += 1
    assert refused > 80


def test_is_whole_sees_a_changed_byte(tmp_path):
    path = save(dict(a=torch.zeros(1000)), tmp_path / 'a.pth')
    data = bytearray(path.read_bytes())
    data[data.index(bytes(1000)) + 500] = 1
    path.write_bytes(data)
    assert not is_whole(path)
    assert not is_whole(tmp_path / 'nowhere.pth')


def test_records_that_unpack_to_more_than_the_file(tmp_path):
    path = save(dict(a=torch.zeros(10**6)), tmp_path / 'a.pth')
    with zipfile.ZipFile(path) as archive:
        records = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    with pytest.raises(CheckpointError, match='would unpack to 4000'):
        load(path)


def test_records_that_claim_more_than_the_file(tmp_path):
    path = save(dict(a=torch.zeros(16)), tmp_path / 'a.pth')
    data = bytearray(path.read_bytes())
    entry = data.index(b'PK\x01\x02')  # the sizes are 20 and 24 bytes on
    data[entry + 20 : entry + 28] = 2 * (10**9).to_bytes(4, 'little')
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match='would unpack to 1000'):
        load(path)


def test_map_location(tmp_path):
    path = save(dict(a=torch.zeros(2)), tmp_path / 'a.pth')
    assert load(path, 'meta')['a'].device.type == 'meta'


@pytest.mark.parametrize(
    ('saved', 'map_location'),
    [
        ('cuda:0', {'cuda:0': 'cpu'}),
        ('cpu', {'cuda:0': 'meta'}),
        ('cuda:0', lambda storage, location: storage),
        ('cpu', lambda storage, location: None),  # stays where it was
    ],
)
def test_map_location_by_torchs_rules(saved, map_location, tmp_path):
    with patch.object(torch.serialization, 'location_tag', lambda _: saved):
        path = save(dict(a=torch.ones(2)), tmp_path / 'a.pth')
    found = load(path, map_location)['a']
    assert found.device.type == 'cpu' and found.tolist() == [1, 1]


def test_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    save(dict(epoch=3), tmp_path / 'a.pth')
    assert load('~/a.pth') == dict(epoch=3)


def test_safetensors(tmp_path, monkeypatch):
    safetensors = pytest.importorskip('safetensors.torch')
    path = tmp_path / 'a.safetensors'
    safetensors.save_file(dict(a=torch.ones(2)), path)
    assert load(path)['a'].tolist() == [1, 1]
    assert load(path, 'meta')['a'].device.type == 'meta'
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r'a\.safetensors'):
        load(path)
    monkeypatch.setitem(sys.modules, 'safetensors.torch', None)
    with pytest.raises(CheckpointError, match='pip install safetensors'):
        load(path)


def test_a_size_holds_sizes(tmp_path):
    path = tmp_path / 'a.pth'
    opcodes.write(path, opcodes.call('torch.Size', opcodes.tuple_(b'N')))
    with pytest.raises(CheckpointError, match=r'torch\.Size holds no sizes'):
        load(path)


def test_quantized_dtypes_are_refused(tmp_path):
    path = save(torch.quint8, tmp_path / 'a.pth')
    with pytest.raises(UnsafeCheckpointError, match=r'torch\.quint8'):
        load(path)
