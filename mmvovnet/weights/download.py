"""Files from the network, kept whole or not at all."""

import hashlib
import os
import re
from pathlib import Path
from typing import IO

import torch

from .archive import unpack
from .transfer import DownloadError, transfer

# A folder of files that the user has: looked in before any network.
FOLDER = 'MMVOVNET_WEIGHTS'

_PAGES = (b'<', b'version https://git-lfs')  # what web pages, pointers begin
# Names that every run or repository gives: they tell no file from another.
_GENERIC = re.compile(
    r'((pytorch_)?model(_final|_best)?|latest|last|best|final|file|weights|'
    r'checkpoint(_\d+)?|(epoch|iter)_\d+)(\.\w+)*'
)
_ENDINGS = ('', '.pth', '.pth.tar', '.pth.zip', '.safetensors')


def file_name(url: str) -> str:
    """The name of the file at an address.

    Example:
        >>> file_name('https://example.org/a/model.pth?dl=1')
        'model.pth'
    """
    return url.partition('?')[0].rpartition('/')[2] or 'file'


def kept(*names: str) -> Path | None:
    """A file of one of these names, with or without its ending.

    Args:
        *names (str): Looked for in the folder that the environment variable
            ``MMVOVNET_WEIGHTS`` names. ``latest.pth`` and other names that
            many files share are not.

    Returns:
        Path | None: None if there is none.
    """
    if folder := os.environ.get(FOLDER):
        for name in names:
            for ending in () if _GENERIC.fullmatch(name) else _ENDINGS:
                path = Path(folder, name + ending).expanduser()
                if path.is_file():
                    return path
    return None


def cached(url: str) -> Path:
    """Where the file of an address is kept.

    Args:
        url (str): The address. Two addresses never share a file, also where
            they end in one name.

    Returns:
        Path: A file in the folder of ``torch.hub``, of the same name.

    Example:
        >>> cached('https://example.org/a/model.pth?dl=1').name
        'model.pth'
    """
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    folder = Path(torch.hub.get_dir(), 'checkpoints', 'mmvovnet', key)
    return folder / file_name(url)


def fetch(
    url: str,
    sha256: str | None = None,
    size: int | None = None,
    sha1: str | None = None,
) -> Path:
    """Get the file of an address, from the network if it is not at hand.

    Args:
        url (str): Of http or https.
        sha256 (str, optional): Its SHA-256 in hexadecimal digits, or the first
            of them.
        size (int, optional): Its number of bytes.
        sha1 (str, optional): SHA-1 of the one file in it, if it is a zip.

    Returns:
        Path: The file, in ``MMVOVNET_WEIGHTS`` or in :func:`cached`'s place.
        It is complete: it takes that place after it was checked.

    Raises:
        DownloadError: If it can't be had, or is not what was asked for. It
            says where to put a copy that was got by other means.
    """
    path = kept(file_name(url)) or cached(url)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        transfer(url, part)
        _verify(part, sha256, size, sha1)
        part.replace(path)
    except DownloadError as error:
        raise DownloadError(
            f"'{path.name}' can't be had from {url}: {error}. Save a copy of "
            f"it as '{path}'"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _verify(
    path: Path, sha256: str | None, size: int | None, sha1: str | None
) -> None:
    """Refuse a file that is not the one that was asked for."""
    found = path.stat().st_size
    if size is not None and found != size:
        raise DownloadError(f'{found} bytes came, and it has {size}')
    with path.open('rb') as file:
        if file.read(64).lstrip().startswith(_PAGES):
            raise DownloadError(
                'what came is a web page or the pointer of Git LFS'
            )
        file.seek(0)
        _compare('SHA-256', _digest(file, 'sha256'), sha256)
        if sha1:
            try:
                inner = unpack(file)
            except Exception as error:  # a damaged zip can raise anything
                raise DownloadError(f'the zip is damaged: {error}') from error
            if inner is None:
                raise DownloadError('what came is no zip that holds a .pth')
            with inner:
                _compare('SHA-1', _digest(inner, 'sha1'), sha1)


def _digest(file: IO[bytes], kind: str) -> str:
    hashed = hashlib.new(kind)
    while chunk := file.read(1 << 20):
        hashed.update(chunk)
    return hashed.hexdigest()


def _compare(kind: str, digest: str, wanted: str | None) -> None:
    if wanted and not digest.startswith(wanted.lower()):
        raise DownloadError(
            f'the {kind} of what came begins {digest[: len(wanted)]}, and '
            f'its own {wanted}'
        )
