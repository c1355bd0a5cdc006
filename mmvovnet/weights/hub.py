"""Weights on the Hugging Face hub, through its own library.

Its cache, ``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` and tokens work as for other
packages.
"""

import re
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from .errors import CheckpointError

SCHEME = 'hf-hub:'
_PAGE = re.compile(
    r'https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+?)'
    r'(?:/tree/([\w.-]+))?/?'
)
_NAMES = ('model.safetensors', 'pytorch_model.bin')


def is_address(text: str) -> bool:
    """Whether a text is the address of a repository on the hub."""
    return text.startswith(SCHEME)


def address_of(name: str) -> str:
    """The address of a repository by its other spellings; the rest stays.

    Example:
        >>> address_of('https://huggingface.co/timm/ese_vovnet39b.ra_in1k')
        'hf-hub:timm/ese_vovnet39b.ra_in1k'
        >>> address_of('hf_hub:timm/ese_vovnet39b.ra_in1k')
        'hf-hub:timm/ese_vovnet39b.ra_in1k'
    """
    page = _PAGE.fullmatch(name)
    if page:
        revision = f'@{page[2]}' if page[2] not in (None, 'main') else ''
        return f'{SCHEME}{page[1]}{revision}'
    return name.replace('hf_hub:', SCHEME, 1)


def url(address: str) -> str:
    """The address of a repository's weights for a browser; others stay.

    Example:
        >>> url('hf-hub:timm/ese_vovnet39b.ra_in1k')
        'https://huggingface.co/timm/ese_vovnet39b.ra_in1k/resolve/main/model.safetensors'
    """
    if not is_address(address):
        return address
    repository, _, revision = address.removeprefix(SCHEME).partition('@')
    return (
        f'https://huggingface.co/{repository}/resolve/{revision or "main"}/'
        f'{_NAMES[0]}'
    )


def fetch(address: str) -> Path:
    """Get the weights of a repository.

    Args:
        address (str): ``hf-hub:USER/REPOSITORY``, and ``@REVISION`` if not the
            newest.

    Returns:
        Path: The file in the hub's cache.

    Raises:
        CheckpointError: If it can't be had.
    """
    repository, _, revision = address.removeprefix(SCHEME).partition('@')
    if '/' not in repository:
        raise CheckpointError(
            f'{address!r} names no user: the form is {SCHEME}USER/REPOSITORY, '
            f'such as {SCHEME}timm/ese_vovnet39b.ra_in1k'
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
    if problem := _unreachable(constants.ENDPOINT):
        for name in _NAMES:
            kept = try_to_load_from_cache(
                repository, name, revision=revision or None
            )
            if isinstance(kept, str):
                return Path(kept)
        raise _failed(address, problem)
    for name in _NAMES:
        try:
            return Path(
                hf_hub_download(
                    repository,
                    name,
                    revision=revision or None,
                    etag_timeout=4,  # seconds
                )
            )
        except errors.LocalEntryNotFoundError as error:
            raise _failed(address, error) from error
        except errors.EntryNotFoundError:
            continue
        except Exception as error:  # of the network, by whatever library
            raise _failed(address, error) from error
    raise CheckpointError(
        f'{address!r} has none of the files {", ".join(_NAMES)}'
    )


def _unreachable(url: str) -> OSError | None:
    """Why a host does not answer: the library asks for half a minute."""
    try:
        urlopen(Request(url, method='HEAD'), timeout=4).close()
    except HTTPError:
        return None
    except OSError as error:
        return error
    return None


def _failed(address: str, error: Exception) -> CheckpointError:
    said = str(error).strip().partition('\n')[0] or type(error).__name__
    return CheckpointError(
        f"{address!r} can't be fetched ({said}). Fetch it by hand from "
        f'{url(address)} and name the file in place of it; HF_ENDPOINT names '
        'a mirror of the hub, HF_TOKEN opens private repositories.'
    )
