"""Published weights: from a name such as ``vovnet://NAME`` to a file.

The table is ``public.csv``: a row for each file, with its addresses, the page
that gives them, and what its user must know. :func:`locate` takes every
spelling of a name.
"""

import csv
import os
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from . import dialects
from .download import HUB, cached, fetch, verify
from .errors import CheckpointError

# A folder of files that the user has: looked in before any network.
FOLDER = 'MMVOVNET_WEIGHTS'
_ENDINGS = ('', '.pth', '.pth.tar', '.pth.zip', '.safetensors')
_SHARED = {'model.safetensors', 'model_final.pth'}  # names of many files


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
    urls: tuple[str, ...]  # where it is, tried in this order
    source: str  # the page that gives the address
    host: str  # when it was last known to live or refuse, by what source

    @property
    def lives(self) -> bool:
        """Whether its host served it when that was last looked at."""
        return self.host.startswith('lives')

    def fetch(self) -> Path:
        """Get the file, from the network if it is not at hand."""
        if path := self._kept():
            # What a published zip held has no published digest.
            sha1 = self.sha1 if path.suffix == '.zip' else None
            try:
                verify(path, self.sha256, sha1=sha1)
            except Exception as error:  # also of a damaged zip
                raise CheckpointError(
                    f"'{path}' is not the published '{self.name}': {error}. "
                    f'Fetch it again from {self.source}, or move it out of '
                    f'{FOLDER}'
                ) from None
            return path
        errors = []
        for url in self.urls:
            try:
                return fetch(url, self.sha256, self.sha1)
            except CheckpointError as error:
                errors.append(str(error))
        rows = _that_live(self.options['arch'])
        same = [row.name for row in rows if row != self]
        raise CheckpointError(
            f"the weights '{self.name}' can't be had. {'. '.join(errors)}; "
            f'or save it in any folder and set {FOLDER} to that. It is '
            f'published on {self.source}. Of the same arch, these can be had: '
            f'{", ".join(same) or "none"} (docs/checkpoints.md)'
        )

    def _kept(self) -> Path | None:
        """The file in ``MMVOVNET_WEIGHTS``, with or without its ending."""
        folder = os.environ.get(FOLDER, '')
        for name in (self.name, *(cached(url).name for url in self.urls)):
            for ending in _ENDINGS if folder and name not in _SHARED else ():
                path = Path(folder, name + ending).expanduser()
                if path.is_file():
                    return path
        return None


@cache
def public_files() -> dict[str, PublicFile]:
    """All public files, by name.

    Example:
        >>> public_files()['ese_vovnet39b.ra_in1k'].options
        {'arch': 'V-39-eSE', 'gate_place': 'last'}
    """
    text = files(__package__).joinpath('public.csv').read_text()
    found = {}
    row: dict[str, Any]
    for row in csv.DictReader(text.splitlines()):
        row['options'] = yaml.safe_load(row['options'])
        row['pixels'] = getattr(dialects, row['pixels'].upper())
        row['metrics'] = yaml.safe_load(row['metrics'] or '{}')
        row['urls'] = tuple(row['urls'].split())
        found[row['name']] = PublicFile(**row)
    return found


def default_weights(arch: str) -> PublicFile | None:
    """The weights that a config of this arch starts from.

    They are the first of the table that can be had, or None.

    Example:
        >>> default_weights('V-39').name
        'vovnet39_pytorchcv'
    """
    return next(iter(_that_live(arch)), None)


def _that_live(arch: Any) -> list[PublicFile]:
    rows = public_files().values()
    return [row for row in rows if row.lives and row.options['arch'] == arch]


def public_file(name: str) -> PublicFile:
    """A public file by its name, with or without the ending ``.pth``."""
    table = public_files()
    for known in (name, name.removesuffix('.tar').removesuffix('.pth')):
        if known in table:
            return table[known]
    names = get_close_matches(name, table, n=3, cutoff=0.3)
    raise CheckpointError(
        f'no published weights are called {name!r}. Names like it are '
        f'{", ".join(names) or "none"}. All names are in docs/checkpoints.md '
        'and mmvovnet.weights.public_files().'
    )


def published_pixels(checkpoint: str) -> tuple[dialects.Pixels, ...]:
    """The images for a checkpoint of an ``init_cfg``, if the table has it."""
    scheme, _, name = checkpoint.rpartition('://')
    row = public_files().get(name) if scheme == 'vovnet' else None
    return (row.pixels,) if row else ()


def find(name: str | Path) -> PublicFile | str:
    """The row of the table that a name means, or else a path or an address.

    docs/checkpoints.md lists the forms of a name.

    Raises:
        CheckpointError: It has none of them, and no file has that path.
    """
    name = str(name).replace('hf_hub:', HUB, 1)
    path = Path(name).expanduser()
    table = public_files()
    bare = name.removeprefix('vovnet://')
    for start in ('timm://', 'timm/', f'{HUB}timm/'):
        if name.startswith(start) and not path.exists():
            timm = name.removeprefix(start)
            # The table's tags may be left out, those of the hub may not.
            known = [n for n in table if f'{n}.'.startswith(f'{timm}.')]
            other = f'{HUB}timm/{timm}' if '.' in timm else timm
            bare = known[0] if known else other
    if '://' in bare or bare.startswith(HUB):
        return bare
    is_path = path.exists() or len(path.parts) > 1
    if is_path and bare == name and name not in table:
        return str(path)
    return public_file(bare)


def locate(name: str | Path) -> tuple[Path, PublicFile | None]:
    """Get the file that a name means, and its row in the table if it has one.

    The forms of a name are those of :func:`find`.
    """
    found = find(name)
    if isinstance(found, PublicFile):
        return found.fetch(), found
    if '://' in found or found.startswith(HUB):
        return fetch(found), None
    return Path(found), None
