"""Files from the network, kept whole or not at all.

``huggingface_hub`` gets the hub's files, with its cache, ``HF_ENDPOINT``,
``HF_HUB_OFFLINE`` and tokens; ``torch.hub`` gets others. torch.hub waits
without end for a silent host, compares no size and tries once: that is here.
"""

import hashlib
import os
import re
import socket
import time
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch

from .archive import unpack
from .errors import CheckpointError

# A folder of files that the user has: looked in before any network.
FOLDER = 'MMVOVNET_WEIGHTS'
HUB = 'hf-hub:'

_TRIES = 3
_WAIT = 1.0  # seconds between them
_ANSWER = 4.0  # seconds for a host's first answer, from all its addresses
_SILENCE = 60.0  # seconds without a byte
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_HUB_NAMES = ('model.safetensors', 'pytorch_model.bin')
_HUB_PAGE = re.compile(
    r'https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+?)'
    r'(?:/tree/(?:main|([\w.-]+)))?/?'
)
_PAGES = (b'<', b'version https://git-lfs')  # what web pages, pointers begin
# Names that every run or repository gives: they tell no file from another.
_GENERIC = re.compile(
    r'((pytorch_)?model(_final|_best)?|latest|last|best|final|file|weights|'
    r'checkpoint(_\d+)?|(epoch|iter)_\d+)(\.\w+)*'
)
_ENDINGS = ('', '.pth', '.pth.tar', '.pth.zip', '.safetensors')


class DownloadError(CheckpointError):
    """A file that cannot be downloaded, or is another than was asked for."""


def hub_address(name: str) -> str:
    """The address of a hub's repository by its other spellings.

    Example:
        >>> hub_address('https://huggingface.co/timm/ese_vovnet39b.ra_in1k')
        'hf-hub:timm/ese_vovnet39b.ra_in1k'
        >>> hub_address('hf_hub:timm/ese_vovnet39b.ra_in1k')
        'hf-hub:timm/ese_vovnet39b.ra_in1k'
        >>> hub_address('epoch_12.pth')
        'epoch_12.pth'
    """
    if page := _HUB_PAGE.fullmatch(name):
        return f'{HUB}{page[1]}' + (f'@{page[2]}' if page[2] else '')
    return name.replace('hf_hub:', HUB, 1)


def browser_url(address: str) -> str:
    """Where a browser finds the weights of an address.

    Example:
        >>> browser_url('hf-hub:timm/ese_vovnet39b.ra_in1k')
        'https://huggingface.co/timm/ese_vovnet39b.ra_in1k/resolve/main/model.safetensors'
    """
    if not address.startswith(HUB):
        return address
    repository, _, revision = address.removeprefix(HUB).partition('@')
    return (
        f'https://huggingface.co/{repository}/resolve/{revision or "main"}/'
        f'{_HUB_NAMES[0]}'
    )


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
        url (str): Of http or https, or ``hf-hub:USER/REPOSITORY`` with
            ``@REVISION`` if not the newest, whose files the hub's own
            library checks.
        sha256 (str, optional): Its SHA-256 in hexadecimal digits, or the first
            of them.
        size (int, optional): Its number of bytes.
        sha1 (str, optional): SHA-1 of the one file in it, if it is a zip.

    Returns:
        Path: The file, in ``MMVOVNET_WEIGHTS``, in :func:`cached`'s place or
        in the hub's cache. It is complete: it takes that place after it was
        checked.

    Raises:
        CheckpointError: If it can't be had, or is not what was asked for. It
            says where to put a copy that was got by other means.
    """
    if url.startswith(HUB):
        return _fetch_from_hub(url)
    path = kept(file_name(url)) or cached(url)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        length = _download(url, part)
        verify(part, sha256, size or length, sha1)
        part.replace(path)
    except DownloadError as error:
        raise DownloadError(
            f"'{path.name}' can't be had from {url}: {error}. Save a copy of "
            f"it as '{path}'"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def verify(
    path: Path,
    sha256: str | None = None,
    size: int | None = None,
    sha1: str | None = None,
) -> None:
    """Compare a file with what was published of it: see :func:`fetch`.

    Raises:
        DownloadError: If it is another file, a web page or a torn zip.
    """
    found = path.stat().st_size
    if size is not None and found != size:
        raise DownloadError(f'{found} bytes came, and it has {size}')
    with path.open('rb') as file:
        head = file.read(64).lstrip()
        if head.startswith(_PAGES):
            raise DownloadError(
                'what came is a web page or the pointer of Git LFS'
            )
        file.seek(0)
        _compare('SHA-256', file, sha256)
        if sha1:
            try:
                inner = unpack(file)
            except Exception as error:  # a damaged zip can raise anything
                raise DownloadError(f'the zip is damaged: {error}') from error
            if inner is None:
                raise DownloadError('what came is no zip that holds a .pth')
            with inner:
                _compare('SHA-1', inner, sha1)


def _compare(kind: str, file: IO[bytes], wanted: str | None) -> None:
    if not wanted:
        return
    digest = hashlib.new(kind.replace('-', ''))
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    found = digest.hexdigest()[: len(wanted)]
    if found != wanted.lower():
        raise DownloadError(
            f'the {kind} of what came begins {found}, and its own {wanted}'
        )


def _download(url: str, path: Path) -> int | None:
    """Write what is at an address to a file; give the size it shall have."""
    if not url.startswith(('http://', 'https://')):
        raise DownloadError('the address is none of http:// or https://')
    before = socket.getdefaulttimeout()
    for left in reversed(range(_TRIES)):
        try:
            headers = _first_answer(url)
            if headers.get_content_type() == 'text/html':
                raise DownloadError(
                    'the server sends a web page in place of the file, such '
                    'as one that asks to log in'
                )
            socket.setdefaulttimeout(_SILENCE)  # torch.hub sets none
            torch.hub.download_url_to_file(url, str(path))
            length = headers.get('Content-Length')
            if length and int(length) > path.stat().st_size and left:
                continue  # the connection broke
            return int(length) if length else None
        except HTTPError as error:
            if error.code not in _PASSING or not left:
                raise DownloadError(
                    f'HTTP {error.code}: {error.reason}'
                ) from error
        except _NoAnswer as error:
            raise DownloadError(str(error)) from error
        except (OSError, HTTPException) as error:
            if not left:
                reason = getattr(error, 'reason', error)
                raise DownloadError(
                    f'{_TRIES} tries failed, the last with: {reason}'
                ) from error
        finally:
            socket.setdefaulttimeout(before)
        time.sleep(_WAIT)
    raise AssertionError('unreachable')


class _NoAnswer(OSError):
    """A host that is not there, or is silent."""


def _first_answer(url: str) -> HTTPMessage:
    """Ask for the headers of a file, and wait for all addresses together.

    A name can have many addresses, and the system waits for each, and for the
    servers of names: only a thread of its own bounds them all.
    """
    answers: SimpleQueue = SimpleQueue()

    def ask() -> None:
        request = Request(
            url, method='HEAD', headers={'User-Agent': 'mmvovnet'}
        )
        try:
            with urlopen(request, timeout=_ANSWER) as response:
                answers.put(response.headers)
        except HTTPError as error:  # GET may have another answer
            answers.put(HTTPMessage() if error.code < 500 else error)
        except Exception as error:
            reason = getattr(error, 'reason', error)
            answers.put(_NoAnswer(f'no answer: {reason}'))

    Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=_ANSWER)
    except Empty:
        answer = _NoAnswer(f'no answer within {_ANSWER:.0f} seconds')
    if isinstance(answer, Exception):
        raise answer
    return answer


def _fetch_from_hub(address: str) -> Path:
    repository, _, revision = address.removeprefix(HUB).partition('@')
    if '/' not in repository:
        raise CheckpointError(
            f'{address!r} names no user: the form is {HUB}USER/REPOSITORY, '
            f'such as {HUB}timm/ese_vovnet39b.ra_in1k'
        )
    try:
        from huggingface_hub import (
            constants,
            errors,
            hf_hub_download,
            try_to_load_from_cache,
        )
    except ImportError as error:
        raise CheckpointError(
            f'{address!r} needs huggingface_hub: pip install huggingface_hub'
        ) from error
    at = revision or None
    said = ''
    try:
        _first_answer(constants.ENDPOINT)  # the library asks for minutes
    except HTTPError:
        pass
    except _NoAnswer as error:
        said = str(error)
    for name in _HUB_NAMES:
        try:
            if not said:
                return Path(
                    hf_hub_download(
                        repository, name, revision=at, etag_timeout=_ANSWER
                    )
                )
            path = try_to_load_from_cache(repository, name, revision=at)
            if isinstance(path, str):
                return Path(path)
        except errors.EntryNotFoundError as error:
            if isinstance(error, errors.LocalEntryNotFoundError):
                said = str(error)
        except Exception as error:  # of the network, by whatever library
            said = str(error)
            break
    said = said or f'it has none of the files {", ".join(_HUB_NAMES)}'
    said = said.strip().partition('\n')[0]
    raise CheckpointError(
        f"{address!r} can't be fetched ({said}). Fetch it by hand from "
        f'{browser_url(address)} and name the file in place of it; '
        'HF_ENDPOINT names a mirror of the hub, HF_TOKEN opens private '
        'repositories'
    )
