"""Published weights: from a name such as ``vovnet://NAME`` to a file.

The table is ``public.csv``: a row for each file, with its addresses, the page
that gives them, and what its user must know. :func:`locate` takes every
spelling of a name.
"""

import csv
import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from . import dialects
from .download import HUB, DownloadError, browser_url, cached, fetch, verify
from .errors import CheckpointError

# A folder of files that the user has: looked in before any network.
FOLDER = 'MMVOVNET_WEIGHTS'
_ENDINGS = ('', '.pth', '.pth.tar', '.pth.zip', '.safetensors')
_SHARED = {'model.safetensors', 'model_final.pth'}  # names of many files
_HUB_PAGE = re.compile(
    r'https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+?)'
    r'(?:/tree/(?:main|([\w.-]+)))?/?'
)


class PublicFile(NamedTuple):
    """A row of the table."""

    name: str  # what :meth:`mmvovnet.VoVNet.from_pretrained` takes
    options: dict[str, Any]  # of the :class:`mmvovnet.VoVNet` in it
    dialect: str  # whose names its weights have
    pixels: dialects.Pixels  # the images that its code trained it on
    metrics: dict[str, float]  # published accuracy, in %
    config: str  # file name of the config whose whole model it is, or empty
    sha256: str  # published digest or the first digits of it, or empty
    sha1: str  # published digest of the one file that a zip holds, or empty
    size: int | None  # published size in bytes
    urls: tuple[str, ...]  # where it is, tried in this order
    source: str  # the page that gives the address
    host: str  # when it was last known to live or refuse, by what source

    @property
    def url(self) -> str:
        """The first address."""
        return self.urls[0]

    @property
    def arch(self) -> Any:
        """The ``arch`` of the :class:`mmvovnet.VoVNet` in it."""
        return self.options['arch']

    @property
    def lives(self) -> bool:
        """Whether its host served it when that was last looked at."""
        return self.host.startswith('lives')

    @property
    def init_cfg(self) -> str:
        """The config line that starts a backbone from it."""
        return (
            "init_cfg=dict(type='Pretrained', "
            f"checkpoint='vovnet://{self.name}')"
        )

    def fetch(self) -> Path:
        """Get the file, from the network if it is not at hand.

        Raises:
            CheckpointError: It can't be had, or a file of its name in
                ``MMVOVNET_WEIGHTS`` is another. The message says where to get
                it, and what can be had in its place.
        """
        if path := next(self._kept(), None):
            # What a published zip held has no published digest.
            sha1 = self.sha1 if path.suffix == '.zip' else None
            try:
                verify(path, self.sha256, sha1=sha1)
            except DownloadError as error:
                raise CheckpointError(
                    f"'{path}' is not the published '{self.name}': {error}. "
                    f'Fetch it again from {self.source}, or move it out of '
                    f'{FOLDER}'
                ) from None
            return path
        errors = []
        for url in self.urls:
            try:
                return fetch(url, self.sha256, self.size, self.sha1)
            except CheckpointError as error:
                errors.append(str(error))
        same = [row.name for row in _that_live(self.arch) if row != self]
        raise CheckpointError(
            f"the weights '{self.name}' can't be had. {'. '.join(errors)}; "
            f'or save it in any folder and set {FOLDER} to that. It is '
            f'published on {self.source}. Of the same arch, these can be had: '
            f'{", ".join(same) or "none"} (docs/checkpoints.md)'
        )

    def _kept(self) -> Iterator[Path]:
        """The file in ``MMVOVNET_WEIGHTS``, with or without its ending."""
        if folder := os.environ.get(FOLDER):
            names = (cached(browser_url(url)).name for url in self.urls)
            for name in (self.name, *names):
                for ending in () if name in _SHARED else _ENDINGS:
                    path = Path(folder, name + ending).expanduser()
                    if path.is_file():
                        yield path


@cache
def public_files() -> dict[str, PublicFile]:
    """All public files, by name.

    Example:
        >>> public_files()['ese_vovnet39b.ra_in1k'].options
        {'arch': 'V-39-eSE', 'gate_place': 'last'}
    """
    text = files(__package__).joinpath('public.csv').read_text()
    found = {}
    for row in csv.DictReader(text.splitlines()):
        urls = tuple(row.pop('url').split())
        fields: dict[str, Any] = row | dict(
            options=yaml.safe_load(row['options']),
            pixels=getattr(dialects, row['pixels'].upper()),
            metrics=yaml.safe_load(row['metrics'] or '{}'),
            urls=urls,
            size=int(row['size']) if row['size'] else None,
        )
        found[row['name']] = PublicFile(**fields)
    return found


def default_weights(arch: str) -> PublicFile | None:
    """The weights that a config of this arch starts from.

    Args:
        arch (str): A key of :data:`mmvovnet.models.archs.ARCHS`.

    Returns:
        PublicFile | None: The first of the table that can be had.

    Example:
        >>> default_weights('V-39').name
        'vovnet39_pytorchcv'
    """
    return next(iter(_that_live(arch)), None)


def _that_live(arch: Any) -> list[PublicFile]:
    rows = public_files().values()
    return [row for row in rows if row.lives and row.arch == arch]


def public_file(name: str) -> PublicFile:
    """A public file by its name, with or without the ending ``.pth``.

    Raises:
        CheckpointError: There is none of this name.
    """
    table = public_files()
    for known in (name, name.removesuffix('.tar').removesuffix('.pth')):
        if known in table:
            return table[known]
    raise CheckpointError(
        f'no published weights are called {name!r}. {_near(name)}'
    )


def published_pixels(checkpoint: str) -> tuple[dialects.Pixels, ...]:
    """The images for a checkpoint of an ``init_cfg``, if the table has it."""
    scheme, _, name = checkpoint.rpartition('://')
    row = public_files().get(name) if scheme == 'vovnet' else None
    return (row.pixels,) if row else ()


def _near(name: str) -> str:
    names = get_close_matches(name, public_files(), n=3, cutoff=0.3)
    said = f'Names like it are {", ".join(names)}. ' if names else ''
    return (
        f'{said}All names are in docs/checkpoints.md and '
        'mmvovnet.weights.public_files().'
    )


def locate(name: str | Path) -> tuple[Path, PublicFile | None]:
    """Get the file that a name means, and its row in the table if it has one.

    Args:
        name (str | Path): A name in the table of public files, which
            ``vovnet://`` may precede; ``timm://`` and a model of timm, with
            or without its tag; the path of a file;
            ``hf-hub:USER/REPOSITORY``; or a URL.

    Raises:
        CheckpointError: It can't be had.
    """
    name = str(name).replace('hf_hub:', HUB, 1)
    if page := _HUB_PAGE.fullmatch(name):
        name = f'{HUB}{page[1]}' + (f'@{page[2]}' if page[2] else '')
    scheme, _, rest = name.rpartition('://')
    bare = rest.removeprefix(HUB)
    path = Path(name).expanduser()
    if scheme == 'timm' or (bare.startswith('timm/') and not path.exists()):
        return _locate_timm(bare.removeprefix('timm/'))
    if scheme not in ('', 'vovnet'):
        return fetch(name), None
    if rest.startswith(HUB):
        return fetch(rest), None
    is_path = path.exists() or len(path.parts) > 1
    if is_path and not scheme and name not in public_files():
        return path, None
    row = public_file(rest)
    return row.fetch(), row


def _locate_timm(name: str) -> tuple[Path, PublicFile | None]:
    """A row of the table, whose tag may be missing; else timm's repository."""
    for row in public_files().values():
        if row.name == name or row.name.startswith(f'{name}.'):
            return row.fetch(), row
    if '.' not in name:  # timm's repositories have a tag
        public_file(name)
    try:
        return fetch(f'{HUB}timm/{name}'), None
    except CheckpointError as error:
        raise CheckpointError(f'{error} {_near(name)}') from None
