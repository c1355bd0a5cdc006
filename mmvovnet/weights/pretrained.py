"""Published weights, and what a network of theirs is built from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.logging import print_log

from mmvovnet.models.archs import resolve_arch

from .adapter import OURS, backbone
from .download import HUB, fetch, hub_address
from .errors import CheckpointError
from .loading import load
from .public import PublicFile, near, public_file, public_files

if TYPE_CHECKING:
    from mmvovnet.models import VoVNet


def locate(name: str | Path) -> tuple[Path, PublicFile | None]:
    """Get the file that a name means.

    Args:
        name (str | Path): A name in the table of public files, which
            ``vovnet://`` may precede; ``timm://`` and a model of timm, with
            or without its tag; the path of a file;
            ``hf-hub:USER/REPOSITORY``; or a URL.

    Returns:
        tuple[Path, PublicFile | None]: The file on this machine, and its row
        in the table if it has one.

    Raises:
        CheckpointError: If it can't be had.
    """
    name = hub_address(str(name))
    scheme, _, rest = name.rpartition('://')
    bare = rest.removeprefix(HUB)
    path = Path(name).expanduser()
    if scheme == 'timm' or (bare.startswith('timm/') and not path.exists()):
        return _of_timm(bare.removeprefix('timm/'))
    if scheme not in ('', 'vovnet'):
        return fetch(name), None
    if rest.startswith(HUB):
        return fetch(rest), None
    is_path = path.exists() or len(path.parts) > 1
    if is_path and not scheme and name not in public_files():
        return path, None
    row = public_file(rest)
    return row.fetch(), row


def _of_timm(name: str) -> tuple[Path, PublicFile | None]:
    """A row of the table, whose tag may be missing; else timm's repository."""
    for row in public_files().values():
        if row.name == name or row.name.startswith(f'{name}.'):
            return row.fetch(), row
    if '.' not in name:  # timm's repositories have a tag
        public_file(name)
    try:
        return fetch(f'{HUB}timm/{name}'), None
    except CheckpointError as error:
        raise CheckpointError(f'{error} {near(name)}') from None


def from_pretrained(
    cls: type['VoVNet'], name: str | Path, **options: Any
) -> 'VoVNet':
    """Build the backbone that weights belong to, and load them.

    Args:
        cls (type[VoVNet]): What to build.
        name (str | Path): As of :func:`locate`.
        **options: Options of ``cls``, before those that the weights tell.

    Raises:
        CheckpointError: If the file can't be had, or holds no VoVNet.
    """
    path, row = locate(name)
    found = backbone(load(path, 'cpu'))
    if found is None:
        raise CheckpointError(f"'{path}' holds no VoVNet")
    model = cls(**found.options | (row.options if row else {}) | options)
    model.load_state_dict(found.state)
    model.is_init = True  # so that init_weights() does not draw them anew
    if row:
        model.pixels = (row.pixels,)
    return model


def take_network(model: dict, file: str) -> None:
    """Give a model the network and the pixels of a whole model of other code.

    Our configs start from weights whose stem, pools, gates and pixels may be
    other than those of published detectors. Files in our own names, and
    backbones alone, change nothing.

    Args:
        model (dict): The config of a detector or classifier, changed in
            place.
        file (str): A path, or a name of docs/checkpoints.md.

    Raises:
        CheckpointError: If the file can't be read.
    """
    ours = model.get('backbone', {})
    if ours.get('type') not in ('VoVNet', 'mmvovnet.VoVNet'):
        return
    path, row = locate(file)
    found = backbone(load(path, 'cpu'))
    if (
        found is None
        or found.adapter.dialect is OURS
        or not found.adapter.is_whole
        or not found.adapter.dialect.place
    ):
        return
    theirs, dialect = found.options, found.adapter.dialect
    pixels = row.pixels if row else dialect.pixels
    assert pixels  # our own names alone have none
    before = _channels(ours)
    ours.update(
        {
            key: value
            for key, value in theirs.items()
            if key not in ('bottleneck', 'in_channels')
        },
        init_cfg=None,
    )
    after = _channels(ours)
    neck = model.get('neck', {})
    if list(neck.get('in_channels', ())) == before:
        neck['in_channels'] = after
    if preprocessor := model.get('data_preprocessor'):
        preprocessor.update(
            mean=list(pixels.mean),
            std=list(pixels.std),
            bgr_to_rgb=pixels.order == 'RGB',
        )
    print_log(
        f'The file is of {dialect.name}: the model takes its network, '
        f'{theirs["arch"]}, and its pixels, {pixels}',
        logger='current',
    )


def _channels(options: dict[str, Any]) -> list[int]:
    widths = resolve_arch(options.get('arch', 'V-39'))['out_channels']
    return [widths[i] for i in options.get('out_indices', (0, 1, 2, 3))]
