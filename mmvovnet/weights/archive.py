"""The two formats of ``torch.save``: where pickle and tensors lie in a file.

Since PyTorch 1.6 a checkpoint is a zip archive whose records are stored
uncompressed. Its checksums are compared while the records are read. The
format before that is a sequence of pickles and raw tensors, without checksums.
"""

import io
import os
import shutil
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, cast

import torch

from .allowed import Storage, StorageType
from .errors import CheckpointError
from .pickles import PickleReader

# From a storage on the CPU, and the location that the file gives for it, to a
# storage on some device.
Restore = Callable[[torch.UntypedStorage, str], torch.UntypedStorage]

_MAX_DIRECTORY = 16 * 2**20  # 200 000 records, listed in a second
_SLACK = 16 * 2**20  # what small files may make of themselves, in bytes
_MAX_RATIO = 20  # weights shrink by a tenth, those of zeros more
# What zipfile unpacks in pieces of a given size.
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_CHUNK = 2**20  # stays in a core's cache from reading to checksum to copy


def read_zip(file: io.BufferedReader, restore: Restore) -> Any:
    """Read a zip archive of ``torch.save``.

    Raises:
        UnsafeCheckpointError: It asks for more than data.
        Exception: Of any kind: it is damaged.
    """
    size = os.fstat(file.fileno()).st_size
    with _open_zip(file, size) as archive:
        records = _records(archive, size)
        folder = next(iter(records)).partition('/')[0]
        order = records.get(f'{folder}/byteorder')
        swap = order and archive.read(order).decode() != sys.byteorder
        storages: dict[str, torch.UntypedStorage] = {}

        def storage(identity: tuple) -> Storage:
            dtype, key, location, nbytes = _parse(identity)
            if key not in storages:
                record = records.pop(f'{folder}/data/{key}')
                _check_size(key, record.file_size, nbytes)
                untyped = _read_record(file, record)
                if swap:
                    untyped.byteswap(dtype)
                storages[key] = restore(untyped, location)
            _check_size(key, storages[key].nbytes(), nbytes)
            return Storage(storages[key], dtype)

        pickled = archive.read(records.pop(f'{folder}/data.pkl'))
        data = PickleReader(storage, size + _SLACK).read(io.BytesIO(pickled))
        for record in records.values():  # of no tensor, but with a checksum
            _read_record(file, record)
        return data


def unpack(file: io.BufferedReader) -> io.BufferedReader | None:
    """Unpack a zip that holds one ``.pth``, as pytorchcv publishes them.

    It gets a temporary file, or None for an archive of ``torch.save`` itself.

    Raises:
        CheckpointError: It holds anything else too, or unpacks to more than
            weights do.
        Exception: Of any kind: it is damaged.
    """
    size = os.fstat(file.fileno()).st_size
    with _open_zip(file, size) as archive:
        first, *others = archive.infolist()
        names = [info.filename for info in (first, *others)]
        if not any(name.endswith('.pth') for name in names):
            return None
        if others:
            raise CheckpointError(
                f'the zip holds {len(names)} files, {names[:3]}, and not one '
                '.pth alone'
            )
        if first.file_size > _MAX_RATIO * size + _SLACK:
            raise CheckpointError(
                f'the zip of {size} bytes would unpack to {first.file_size}, '
                'which weights never do'
            )
        if first.compress_type not in _BOUNDED:
            raise CheckpointError('the zip is not compressed by deflate')
        inner = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            with archive.open(first) as packed:  # compares the checksum
                shutil.copyfileobj(packed, inner, _CHUNK)
        except BaseException:
            inner.close()
            raise
        inner.seek(0)
        return cast(io.BufferedReader, inner)


def read_legacy(file: io.BufferedReader, restore: Restore) -> Any:
    """Read the format of PyTorch before 1.6: see :func:`read_zip`.

    The bytes of the tensors lie behind the pickle that describes them.
    """
    data = io.BytesIO(file.read())
    size = len(data.getbuffer())
    storages: dict[str, Storage] = {}

    def storage(identity: tuple) -> Storage:
        dtype, key, location, nbytes = _parse(identity)
        if key not in storages:
            reader.limits.spend_bytes(nbytes)
            empty = torch.UntypedStorage(nbytes)
            storages[key] = Storage(restore(empty, location), dtype)
        _check_size(key, storages[key].untyped.nbytes(), nbytes)
        return Storage(storages[key].untyped, dtype)

    reader = PickleReader(storage, size + _SLACK)
    _, _, system, content = (reader.read(data) for _ in range(4))
    if not system['little_endian']:
        raise CheckpointError('it comes from a big-endian machine')
    keys = reader.read(data)
    if sorted(keys) != sorted(storages):
        raise CheckpointError('it lists other storages than it uses')
    for key in keys:
        untyped, dtype = storages[key]
        (numel,) = struct.unpack('<q', data.read(8))
        nbytes, place = untyped.nbytes(), data.tell()
        _check_size(key, numel * dtype.itemsize, nbytes)
        if data.seek(nbytes, io.SEEK_CUR) > size:
            raise EOFError('its tensors are cut off')
        if nbytes:
            raw = torch.frombuffer(
                data.getbuffer(),
                dtype=torch.uint8,
                count=nbytes,
                offset=place,
            )
            untyped.copy_(raw.untyped_storage())
    return content


def _open_zip(file: io.BufferedReader, size: int) -> zipfile.ZipFile:
    """Open a zip whose one directory is the last thing in it.

    Where there are two, programs differ in which they read. One of millions
    of records takes minutes to list.
    """
    file.seek(max(0, size - 98))
    tail = file.read(98)
    if tail[-22:-18] != b'PK\x05\x06':
        raise CheckpointError('its end is missing or damaged')
    length, start, comment = struct.unpack('<LLH', tail[-10:])
    end = size - 22
    if len(tail) == 98 and tail[56:60] == b'PK\x06\x07':  # zip64
        classic = length, start
        length, start = struct.unpack('<QQ', tail[40:56])
        end = size - 98
        if (
            tail[:4] != b'PK\x06\x06'
            or classic[0] not in (length, 2**32 - 1)
            or classic[1] not in (start, 2**32 - 1)
        ):
            raise CheckpointError('it has two directories')
    if comment or start + length != end:
        raise CheckpointError('its directory is not at its end')
    if length > _MAX_DIRECTORY:
        raise CheckpointError(f'its directory takes {length} bytes')
    return zipfile.ZipFile(file)


def _records(
    archive: zipfile.ZipFile, size: int
) -> dict[str, zipfile.ZipInfo]:
    """The records by name; together they are no larger than the file."""
    infos = archive.infolist()
    records = {info.filename: info for info in infos}
    if len(records) != len(infos):
        raise CheckpointError('it has two records of the same name')
    claimed = sum(info.file_size for info in infos)
    if claimed > size or any(info.compress_type for info in infos):
        raise CheckpointError(
            f'it holds {size} bytes and would unpack to {claimed}: torch.save '
            'never compresses, so it did not write this file'
        )
    return records


def _read_record(
    file: io.BufferedReader, record: zipfile.ZipInfo
) -> torch.UntypedStorage:
    """Read a record into memory of its own, and compare its checksum."""
    file.seek(record.header_offset + 26)
    file.seek(sum(struct.unpack('<HH', file.read(4))), os.SEEK_CUR)
    tensor = torch.empty(record.file_size, dtype=torch.uint8)
    memory = tensor.numpy().data
    checksum = 0
    for start in range(0, len(memory), _CHUNK):
        part = memory[start : start + _CHUNK]
        if file.readinto(part) < len(part):
            raise EOFError(f'its record {record.filename!r} is cut off')
        checksum = zlib.crc32(part, checksum)
    if checksum != record.CRC:
        raise CheckpointError(
            f'the checksum of its record {record.filename!r} is wrong'
        )
    return tensor.untyped_storage()


def _parse(identity: tuple) -> tuple[torch.dtype, str, str, int]:
    """The dtype, key, location and bytes of a tensor's storage."""
    kind, storage_type, key, location, numel, *view = identity
    if (
        kind != 'storage'
        or type(storage_type) is not StorageType
        or not all(type(x) is str and len(x) < 64 for x in (key, location))
        or type(numel) is not int
        or not 0 <= numel < 2**48
        or view not in ([], [None])
    ):
        raise CheckpointError('a storage is described wrongly')
    dtype = storage_type.dtype
    return dtype, key, location, numel * dtype.itemsize


def _check_size(key: str, there: int, claimed: int) -> None:
    if there != claimed:
        raise CheckpointError(
            f'storage {key!r} has {there} bytes where {claimed} are claimed'
        )
