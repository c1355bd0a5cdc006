"""Files from the network, kept whole or not at all.

``huggingface_hub`` gets the hub's files, with its cache, ``HF_ENDPOINT``,
``HF_HUB_OFFLINE`` and tokens. Other files go to a folder below torch.hub's;
torch.hub itself waits without end for a silent host and compares no size.
"""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch

from .archive import unpack
from .errors import CheckpointError

HUB = 'hf-hub:'

_ANSWER = 4.0  # seconds for a host's first answer, from all its addresses
_SILENCE = 60.0  # seconds without a byte
_HUB_FILES = ('model.safetensors', 'pytorch_model.bin')
_PAGES = (b'<', b'version https://git-lfs')  # how web pages, pointers begin


def cached(url: str) -> Path:
    """Where the file of an address is kept, in the folder of ``torch.hub``.

    Two addresses never share a file, even where they end in one name.
    """
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    folder = Path(torch.hub.get_dir(), 'checkpoints', 'mmvovnet', key)
    return folder / (url.partition('?')[0].rpartition('/')[2] or 'file')


def fetch(
    url: str, sha256: str | None = None, sha1: str | None = None
) -> Path:
    """Get the file of an address, from the network if it is not at hand.

    Args:
        url (str): Of http or https, or ``hf-hub:USER/REPOSITORY``, with
            ``@REVISION`` if not the newest.
        sha256 (str, optional): Its SHA-256, or the first digits of it.
        sha1 (str, optional): SHA-1 of the one file in it, if it is a zip.

    Returns:
        Path: The file, in a cache. It gets there when all of it was checked.

    Raises:
        CheckpointError: It can't be had, or is not what was asked for.
    """
    if url.startswith(HUB):
        return _fetch_from_hub(url)
    path = cached(url)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        _download(url, part)
        verify(part, sha256, sha1)
        part.replace(path)
    except Exception as error:  # of the network, the disk or a damaged zip
        raise CheckpointError(
            f"'{path.name}' can't be had from {url}: {error}. Save a copy of "
            f"it as '{path}'"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def verify(
    path: Path, sha256: str | None = None, sha1: str | None = None
) -> None:
    """Refuse a file that is not the published one: see :func:`fetch`."""
    with path.open('rb') as file:
        if file.read(64).lstrip().startswith(_PAGES):
            raise CheckpointError('it is a web page or a pointer of Git LFS')
        file.seek(0)
        _compare('SHA-256', file, sha256)
        if sha1:
            inner = unpack(file)
            if inner is None:
                raise CheckpointError('it is no zip that holds a .pth')
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
        raise CheckpointError(
            f'its {kind} begins {found}, and the published one {wanted}'
        )


def _download(url: str, path: Path) -> None:
    if not url.startswith(('http://', 'https://')):
        raise CheckpointError('the address begins with neither http nor https')
    with _open(url) as answer, path.open('wb') as file:
        length = int(answer.headers['Content-Length'] or 0)
        with torch.hub.tqdm(total=length, unit='B', unit_scale=True) as bar:
            while chunk := answer.read(1 << 16):
                bar.update(file.write(chunk))
    found = path.stat().st_size
    if length and found != length:
        raise CheckpointError(f'it has {found} bytes in place of {length}')


def _open(url: str) -> Any:
    """Ask for a file, and wait a few seconds for the answer to begin.

    A name can have many addresses, and the system waits for each, and for the
    servers of names: only a thread of its own bounds them all.
    """
    answers: SimpleQueue = SimpleQueue()

    def ask() -> None:
        request = Request(url, headers={'User-Agent': 'mmvovnet'})
        try:
            answers.put(urlopen(request, timeout=_SILENCE))
        except Exception as error:
            answers.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=_ANSWER)
    except Empty:
        answer = TimeoutError(f'no answer within {_ANSWER:.0f} seconds')
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
        import huggingface_hub as hub
        from huggingface_hub import constants, errors
    except ImportError as error:
        raise CheckpointError(
            f'{address!r} needs huggingface_hub: pip install huggingface_hub'
        ) from error
    get: Callable[..., Any] = partial(
        hub.hf_hub_download, etag_timeout=_ANSWER
    )
    reason = f'it has none of the files {", ".join(_HUB_FILES)}'
    try:
        if not constants.HF_HUB_OFFLINE:
            _open(constants.ENDPOINT).close()  # the library waits minutes
    except HTTPError:
        pass
    except Exception as error:
        # hf_hub_download asks the network even for local files alone.
        get, reason = hub.try_to_load_from_cache, str(error)
    for name in _HUB_FILES:
        try:
            path = get(repository, name, revision=revision or None)
            if isinstance(path, str):
                return Path(path)
        except errors.LocalEntryNotFoundError as error:
            reason = str(error)
        except errors.EntryNotFoundError:
            pass
        except Exception as error:  # of the network, by whatever library
            reason = str(error)
            break
    raise CheckpointError(
        f"{address!r} can't be fetched ({reason.strip().splitlines()[0]}). "
        f'Fetch it by hand from https://huggingface.co/{repository} and name '
        'the file in place of it; HF_ENDPOINT names a mirror of the hub, '
        'HF_TOKEN opens private repositories'
    )
