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

from mmvovnet.models.archs import resolve_arch

from . import dialects
from .download import (
    FOLDER,
    DownloadError,
    browser_url,
    fetch,
    file_name,
    kept,
    verify,
)
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
        sha1 (str): Published digest of the one file that a zip holds.
        size (int | None): Published size in bytes.
        urls (tuple[str]): Where it is, tried in this order;
            ``hf-hub:USER/REPOSITORY`` on the Hugging Face hub.
        source (str): The page that gives the address.
        host (str): When the host was last known to live, or since when it
            refuses, and by what source.
    """

    name: str
    options: dict[str, Any]
    dialect: str
    pixels: dialects.Pixels
    metrics: dict[str, float]
    config: str
    sha256: str
    sha1: str
    size: int | None
    urls: tuple[str, ...]
    source: str
    host: str

    @property
    def url(self) -> str:
        """The first address."""
        return self.urls[0]

    @property
    def lives(self) -> bool:
        """Whether its host served it when that was last looked at."""
        return self.host.startswith('lives')

    @property
    def arch(self) -> Any:
        """The ``arch`` of the :class:`mmvovnet.VoVNet` in it."""
        return self.options['arch']

    @property
    def init_cfg(self) -> str:
        """The config line that starts a backbone from it."""
        return (
            "init_cfg=dict(type='Pretrained', "
            f"checkpoint='vovnet://{self.name}')"
        )

    @property
    def config_line(self) -> str:
        """A config's lines for a detector that starts from it, in one.

        Example:
            >>> print(public_file('vovnet57_pytorchcv').config_line)
            model = dict(backbone=dict(arch='V-57', init_cfg=dict(\
type='Pretrained', checkpoint='vovnet://vovnet57_pytorchcv')), \
data_preprocessor=dict(mean=[123.675, 116.28, 103.53], \
std=[58.395, 57.12, 57.375], bgr_to_rgb=True))
        """
        options = ', '.join(f'{k}={v!r}' for k, v in self.options.items())
        order, mean, std = self.pixels
        return (
            f'model = dict(backbone=dict({options}, {self.init_cfg}), '
            f'data_preprocessor=dict(mean={list(mean)}, std={list(std)}, '
            f'bgr_to_rgb={order == "RGB"}))'
        )

    def fetch(self) -> Path:
        """Get the file, from the network if it is not at hand.

        Raises:
            CheckpointError: If it can't be had, or a file of its name in
                ``MMVOVNET_WEIGHTS`` is another. It says where to get it, and
                what can be had in its place.
        """
        names = (file_name(browser_url(url)) for url in self.urls)
        if path := kept(self.name, *names):
            self._compare(path)
            return path
        errors = []
        for url in self.urls:
            try:
                return fetch(url, self.sha256, self.size, self.sha1)
            except CheckpointError as error:
                errors.append(str(error))
        raise CheckpointError(
            f"the weights '{self.name}' can't be had. {'. '.join(errors)}; "
            f'or save it in any folder and set {FOLDER} to that. It is '
            f'published on {self.source}. {self._others()}'
        )

    def _compare(self, path: Path) -> None:
        zipped = path.suffix == '.zip'  # else what it held, or another copy
        try:
            verify(path, self.sha256, sha1=self.sha1 if zipped else None)
        except DownloadError as error:
            raise CheckpointError(
                f"'{path}' is not the published '{self.name}': {error}. Fetch "
                f'it again from {self.source}, or move it out of {FOLDER}'
            ) from None

    def _others(self) -> str:
        others = [file for file in public_files().values() if file.lives]
        same = [f for f in others if f.arch == self.arch and f != self]
        near = [f for f in others if _but_widths(f) == _but_widths(self)]
        if not (found := same or near):
            return 'No other weights of this arch can be had.'
        lines = ', or '.join(file.config_line for file in found)
        kind = 'the same arch' if same else 'an arch of other widths'
        return f'Of {kind}, these can be had: {lines}.'


def _but_widths(file: PublicFile) -> dict[str, Any]:
    row = resolve_arch(file.options['arch'])
    return {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in row.items()
        if key != 'out_channels'
    }


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
            pixels=_PIXELS[row['pixels']],
            metrics=yaml.safe_load(row['metrics'] or '{}'),
            urls=urls,
            size=int(row['size']) if row['size'] else None,
        )
        found[row['name']] = PublicFile(**fields)
    return found


# What configs start from, where there is something to start from.
_DEFAULTS = {
    'V-27-slim': 'vovnet27s_pytorchcv',
    'V-39': 'vovnet39_pytorchcv',
    'V-57': 'vovnet57_pytorchcv',
    'V-19-dw-eSE': 'ese_vovnet19b_dw.ra_in1k',
    'V-19-eSE': 'vovnet19_ese_toolbox',
    'V-39-eSE': 'ese_vovnet39b.ra_in1k',
    'V-57-eSE': 'ese_vovnet57b.ra4_e3600_r256_in1k',
    'V-99-eSE': 'vovnet99_ese_toolbox',
}


def default_weights(arch: str) -> PublicFile | None:
    """The weights that a config of this arch starts from.

    Args:
        arch (str): A key of :data:`mmvovnet.models.archs.ARCHS`.

    Returns:
        PublicFile | None: None if none can be had.

    Example:
        >>> default_weights('V-39').name
        'vovnet39_pytorchcv'
    """
    name = _DEFAULTS.get(arch)
    return public_files()[name] if name else None


def public_file(name: str) -> PublicFile:
    """A public file.

    Args:
        name (str): Its name, with or without the ending of the file.

    Raises:
        CheckpointError: If there is none of this name.

    Example:
        >>> public_file('vovnet39_pytorchcv').dialect
        'pytorchcv'
    """
    table = public_files()
    for known in (name, name.removesuffix('.tar').removesuffix('.pth')):
        if known in table:
            return table[known]
    for file in table.values():
        if file_name(browser_url(file.url)).startswith(f'{name}.pth'):
            return file
    raise CheckpointError(
        f'no published weights are called {name!r}. {near(name)}'
    )


def published_pixels(checkpoint: str) -> tuple[dialects.Pixels, ...]:
    """What the table says of a file, which names of weights may not tell.

    Args:
        checkpoint (str): Of an ``init_cfg``.

    Returns:
        tuple[Pixels]: Empty if it is no name of the table.

    Example:
        >>> published_pixels('vovnet://vovnet39_pytorchcv')[0].order
        'RGB'
        >>> published_pixels('epoch_12.pth')
        ()
    """
    scheme, _, name = checkpoint.rpartition('://')
    row = public_files().get(name) if scheme == 'vovnet' else None
    return (row.pixels,) if row else ()


def near(name: str) -> str:
    """A sentence with the names of the table that are like another."""
    names = get_close_matches(name, public_files(), n=3, cutoff=0.3)
    said = f'Names like it are {", ".join(names)}. ' if names else ''
    return (
        f'{said}All names are in docs/checkpoints.md and '
        'mmvovnet.weights.public_files().'
    )
