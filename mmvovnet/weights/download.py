"""Files from the network, kept whole or not at all."""

import hashlib
import os
from pathlib import Path

import torch

from .transfer import DownloadError, transfer

_PAGES = (b'<', b'version https://git-lfs')  # how what is no file begins


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
    name = url.partition('?')[0].rpartition('/')[2] or 'file'
    return Path(torch.hub.get_dir(), 'checkpoints', 'mmvovnet', key, name)


def fetch(
    url: str,
    sha256: str | None = None,
    size: int | None = None,
    source: str | None = None,
) -> Path:
    """Get the file of an address, from the network if it is not at hand.

    Args:
        url (str): Of http or https.
        sha256 (str, optional): Its SHA-256 in hexadecimal digits, or the first
            of them.
        size (int, optional): Its number of bytes.
        source (str, optional): The page that gives the address, for people.

    Returns:
        Path: The file, in :func:`cached`'s place. It is complete: it takes
        that place after it was checked.

    Raises:
        DownloadError: If it can't be had, or is not what was asked for. It
            says where to put a copy that was got by other means.
    """
    path = cached(url)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        transfer(url, part)
        _verify(part, sha256, size)
        part.replace(path)
    except DownloadError as error:
        page = f' It is published on {source}.' if source else ''
        raise DownloadError(
            f"'{path.name}' can't be had from {url}: {error}.{page} Save a "
            f"copy of it as '{path}'"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _verify(path: Path, sha256: str | None, size: int | None) -> None:
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
        hashed = hashlib.sha256()
        while chunk := file.read(1 << 20):
            hashed.update(chunk)
    digest = hashed.hexdigest()
    if sha256 and not digest.startswith(sha256.lower()):
        raise DownloadError(
            f'the SHA-256 of what came begins {digest[: len(sha256)]}, and '
            f'its own {sha256}'
        )
