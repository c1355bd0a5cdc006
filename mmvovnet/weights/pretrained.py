"""A backbone with published weights."""

from pathlib import Path
from typing import Any

from mmvovnet.models import VoVNet

from .convert import find, unwrap
from .describe import describe
from .download import HUB, fetch, hub_address
from .errors import CheckpointError
from .loading import load
from .public import PublicFile, near, public_file, public_files


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
    cls: type[VoVNet], name: str | Path, **options: Any
) -> VoVNet:
    """Build the backbone that weights belong to, and load them.

    Args:
        cls (type[VoVNet]): What to build.
        name (str | Path): As of :func:`locate`.
        **options: Options of ``cls``, before those that the weights tell.

    Raises:
        CheckpointError: If the file can't be had, or holds no VoVNet.
    """
    path, row = locate(name)
    weights = unwrap(load(path, 'cpu'))
    source = find(weights)
    if source is None:
        raise CheckpointError(f"'{path}' holds no VoVNet")
    ours = {source.in_backbone(key): key for key in weights}
    told = describe({our: weights[key] for our, key in ours.items() if our})
    weights = {key: weights[key] for our, key in ours.items() if our}
    told |= source.dialect.hidden(told['gate'])
    published = row.options if row else {}
    model = cls(**told | published | options)
    model.load_state_dict(weights)
    model.is_init = True  # so that init_weights() does not draw them anew
    if row:
        model.pixels = (row.pixels,)
    return model
