"""Downloads over HTTP that survive broken connections."""

import errno
import shutil
import time
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from rich.progress import wrap_file

from .errors import CheckpointError

TRIES = 5
_WAIT = 0.5  # seconds before the second try, doubled for each after it
_TIMEOUT = 60.0  # seconds without a byte
_CONNECT = 4.0  # the same, before the first
_CHUNK = 1 << 20
_PASSING = {408, 425, 429, 500, 502, 503, 504}


class DownloadError(CheckpointError):
    """A file that cannot be downloaded from its address."""


def transfer(url: str, path: Path) -> None:
    """Write what is at an address to a file.

    A connection that breaks or is silent for a minute is made again, and goes
    on from where it was if the server can.

    Args:
        url (str): The address.
        path (Path): The file, which is replaced. It is incomplete where this
            raises an error.

    Raises:
        DownloadError: If there is no such file, the server sends a web page,
            or the connection breaks too often.
    """
    if not url.startswith(('http://', 'https://')):
        raise DownloadError('the address is none of http:// or https://')
    state = _State(url)
    with path.open('wb') as file:
        for left in reversed(range(TRIES)):
            try:
                state.receive(file)
                return
            except HTTPError as error:
                problem = f'HTTP {error.code}: {error.reason}'
                if error.code not in _PASSING or not left:
                    raise DownloadError(problem) from error
            except (URLError, HTTPException, TimeoutError, OSError) as error:
                if getattr(error, 'errno', None) == errno.ENOSPC:
                    raise DownloadError(
                        f"no space is left for '{path}'"
                    ) from error
                silent = not state.answered and left < TRIES - 1
                if not left or silent:
                    reason = getattr(error, 'reason', error)
                    raise DownloadError(
                        f'{TRIES - left} tries failed, the last with: {reason}'
                    ) from error
            time.sleep(_WAIT * 2 ** (TRIES - 1 - left))


class _State:
    """A transfer, over all its connections."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answered = False
        self.version = ''  # by which a server knows that it is the same file

    def receive(self, file: BinaryIO) -> None:
        """Receive the rest of the file over one connection."""
        have = file.tell() if self.version else 0
        headers = {'User-Agent': 'mmvovnet'}
        if have:
            headers |= {'Range': f'bytes={have}-', 'If-Range': self.version}
        request = Request(self.url, headers=headers)
        timeout = _TIMEOUT if self.answered else _CONNECT
        with urlopen(request, timeout=timeout) as response:
            self.answered = True
            if response.status != 206:
                have = 0
            file.seek(have)
            file.truncate()
            tag = response.headers.get('ETag', '')
            # A weak tag does not promise the same bytes.
            self.version = '' if tag.startswith('W/') else tag
            if response.headers.get_content_type() == 'text/html':
                raise DownloadError(
                    'the server sends a web page in place of the file, such '
                    'as one that asks to log in'
                )
            length = response.headers.get('Content-Length')
            total = have + int(length) if length else None
            self._check_space(file, have, total)
            with wrap_file(
                response,
                total=total - have if total else 0,
                description=self.url.rpartition('/')[2].partition('?')[0],
            ) as body:
                shutil.copyfileobj(body, file, _CHUNK)
            if total is not None and file.tell() != total:
                raise OSError(
                    f'the connection broke after {file.tell()} of {total} '
                    'bytes'
                )

    def _check_space(
        self, file: BinaryIO, have: int, total: int | None
    ) -> None:
        free = shutil.disk_usage(Path(file.name).parent).free
        if total is not None and total - have > free:
            raise DownloadError(
                f"it takes {total} bytes, and '{file.name}' is on a disk with "
                f'{free} left'
            )
