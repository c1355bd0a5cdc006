"""Published weights by name.

The table of public files is ``public.csv``: a row each, with the address, the
page that gives it, and what the file's user must know.
"""

import csv
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from . import dialects, hub
from .download import fetch
from .errors import CheckpointError

_PIXELS = {
    'imagenet': dialects.IMAGENET,
    'imagenet_bgr': dialects.IMAGENET_BGR,
    'half': dialects.HALF,
    'caffe': dialects.CAFFE,
    'detectron2': dialects.DETECTRON2,
}


class PublicFile(NamedTuple):
    """A row of the table.

    Args:
        name (str): What :meth:`mmvovnet.VoVNet.from_pretrained` takes.
        options (dict): Options of the :class:`mmvovnet.VoVNet` in it.
        dialect (str): Whose names its weights have.
        pixels (Pixels): The images that its code trained it on.
        metrics (dict): Published accuracy, in %.
        config (str): The config whose whole model it is, by file name; empty
            if it gives the backbone alone.
        sha256 (str): Published digest or the first digits of it, or empty.
        size (int | None): Published size in bytes.
        url (str): Where it is; ``hf-hub:USER/REPOSITORY`` on the Hugging Face
            hub.
        source (str): The page that gives the address.
    """

    name: str
    options: dict[str, Any]
    dialect: str
    pixels: dialects.Pixels
    metrics: dict[str, float]
    config: str
    sha256: str
    size: int | None
    url: str
    source: str

    def fetch(self) -> Path:
        """Get the file, from the network if it is in no cache.

        Raises:
            CheckpointError: If it can't be had. It says where to get it by
                hand and where to put it.
        """
        if hub.is_address(self.url):
            return hub.fetch(self.url)
        return fetch(self.url, self.sha256 or None, self.size, self.source)


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
        fields: dict[str, Any] = row | dict(
            options=yaml.safe_load(row['options']),
            pixels=_PIXELS[row['pixels']],
            metrics=yaml.safe_load(row['metrics'] or '{}'),
            size=int(row['size']) if row['size'] else None,
        )
        found[row['name']] = PublicFile(**fields)
    return found


def public_file(name: str) -> PublicFile:
    """A public file.

    Args:
        name (str): Its name, with or without the ending of the file.

    Raises:
        CheckpointError: If there is none of this name.

    Example:
        >>> public_file('vovnet39_ese_detectron2.pth').dialect
        'detectron2'
    """
    table = public_files()
    for known in (name, name.removesuffix('.tar').removesuffix('.pth')):
        if known in table:
            return table[known]
    near = get_close_matches(name, table, n=3, cutoff=0.3)
    raise CheckpointError(
        f'no published weights are called {name!r}; near it are '
        f'{", ".join(near) or "none"}. All are in docs/checkpoints.md and '
        'mmvovnet.weights.public_files()'
    )
