"""The two formats of ``torch.save``: where pickle and tensors lie in a file.

Since PyTorch 1.6 a checkpoint is a zip archive whose records are stored
uncompressed. Its checksums are compared while the records are read. The
format before that is a sequence of pickles and raw tensors, without checksums.
"""

import io
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, cast

import torch

from .errors import CheckpointError
from .pickles import PickleReader

# From a storage on the CPU, and the location that the file gives for it, to a
# storage on some device.
Restore = Callable[[torch.UntypedStorage, str], torch.UntypedStorage]

_MAX_DIRECTORY = 16 * 2**20  # 200 000 records, listed in a second
_SLACK = 16 * 2**20  # what small files may make of themselves, in bytes
_MAX_RATIO = 20  # weights shrink by a tenth, those of zeros more
_CHUNK = 2**20  # stays in a core's cache from reading to checksum to copy


def read_zip(file: io.BufferedReader, restore: Restore) -> Any:
    """Read a zip archive of ``torch.save``."""
    size = os.fstat(file.fileno()).st_size
    with _open_zip(file, size) as archive:
        records = _records(archive, size)
        folder = next(iter(records)).partition('/')[0]
        if order := records.get(f'{folder}/byteorder'):
            _require_little_endian(archive.read(order) == b'little')

        def make(key: str, location: str, _: int) -> torch.UntypedStorage:
            record = records.pop(f'{folder}/data/{key}')
            return restore(_read_record(file, record), location)

        pickled = archive.read(records.pop(f'{folder}/data.pkl'))
        data = PickleReader(make, size + _SLACK).read(io.BytesIO(pickled))
        for record in records.values():  # of no tensor, but with a checksum
            _read_record(file, record)
        return data


def unpack(file: io.BufferedReader) -> io.BufferedReader | None:
    """Unpack a zip that holds one ``.pth``, as pytorchcv publishes them.

    Returns a temporary file, or None for an archive of ``torch.save`` itself.
    """
    size = os.fstat(file.fileno()).st_size
    with _open_zip(file, size) as archive:
        infos = archive.infolist()
        if not any(info.filename.endswith('.pth') for info in infos):
            return None
        first = infos[0]
        if (
            len(infos) > 1
            or first.file_size > _MAX_RATIO * size + _SLACK
            # zipfile unpacks other methods without a limit
            or first.compress_type
            not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        ):
            raise CheckpointError(
                f'the zip holds {len(infos)} files and would unpack to '
                f'{first.file_size} bytes: expected is one .pth, compressed '
                f'by deflate, of at most {_MAX_RATIO} times its {size} bytes'
            )
        inner = tempfile.TemporaryFile()  # noqa: SIM115
        with archive.open(first) as packed:  # compares the checksum
            shutil.copyfileobj(packed, inner, _CHUNK)
        inner.seek(0)
        return cast(io.BufferedReader, inner)


def read_legacy(file: io.BufferedReader, restore: Restore) -> Any:
    """Read the format of PyTorch before 1.6: pickles, then all tensors."""
    data = io.BytesIO(file.read())
    size = len(data.getbuffer())

    def make(_: str, location: str, nbytes: int) -> torch.UntypedStorage:
        reader.limits.spend_bytes(nbytes)
        return restore(torch.UntypedStorage(nbytes), location)

    reader = PickleReader(make, size + _SLACK)
    _, _, system, content = (reader.read(data) for _ in range(4))
    _require_little_endian(system['little_endian'])
    keys = reader.read(data)
    if sorted(keys) != sorted(reader.storages):
        raise CheckpointError('it lists other storages than it uses')
    for key in keys:
        untyped, dtype = reader.storages[key]
        (numel,) = struct.unpack('<q', data.read(8))
        nbytes, place = untyped.nbytes(), data.tell()
        if nbytes != numel * dtype.itemsize:
            raise CheckpointError(f'storage {key!r} has another size')
        if data.seek(nbytes, io.SEEK_CUR) > size:
            raise EOFError('its tensors are cut off')
        if nbytes:
            raw = torch.frombuffer(
                data.getbuffer()[place : place + nbytes], dtype=torch.uint8
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
    memory, checksum = tensor.numpy().data, 0
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


def _require_little_endian(little: bool) -> None:
    if not little:
        raise CheckpointError('it comes from a big-endian machine')
