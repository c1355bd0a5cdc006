"""The network that published weights belong to."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.logging import print_log

from mmvovnet.models.archs import resolve_arch

from .adapter import backbone
from .dialects import OURS
from .errors import CheckpointError
from .loading import load
from .public import locate

if TYPE_CHECKING:
    from mmvovnet.models import VoVNet

# Options that stay those of the config.
_OWN = ('bottleneck', 'in_channels')


def from_pretrained(
    cls: type['VoVNet'], name: str | Path, **options: Any
) -> 'VoVNet':
    """Build the backbone that weights belong to, and load them.

    See :meth:`mmvovnet.VoVNet.from_pretrained`; the name is one of
    :func:`.public.locate`.
    """
    path, row = locate(name)
    found = backbone(load(path, 'cpu'))
    if found is None:
        raise CheckpointError(f"'{path}' holds no VoVNet")
    model = cls(**found.options | (row.options if row else {}) | options)
    model.starting = True
    model.load_state_dict(found.state)
    model.starting = False
    model.is_init = True  # so that init_weights() does not draw them anew
    if row and model.in_channels == 3:
        model.pixels = (row.pixels,)
    return model


def take_network(model: dict, file: str) -> None:
    """Give a config the network and the pixels of a whole published model.

    Our configs start from weights whose stem, pools, gates and pixels may be
    other than those of published detectors. Files in our own names, and
    backbones alone, change nothing.

    Args:
        model (dict): The config of a detector or classifier, changed in
            place.
        file (str): A path, or a name of docs/checkpoints.md.
    """
    ours = model.get('backbone', {})
    if ours.get('type') not in ('VoVNet', 'mmvovnet.VoVNet'):
        return
    path, row = locate(file)
    found = backbone(load(path, 'cpu'))
    if found is None or not found.adapter.is_whole:
        return
    options, dialect = found.options, found.adapter.dialect
    pixels = row.pixels if row else dialect.pixels
    if dialect is OURS or not dialect.place or pixels is None:
        return

    def channels() -> list[int]:
        widths = resolve_arch(ours.get('arch', 'V-39'))['out_channels']
        return [widths[i] for i in ours.get('out_indices', (0, 1, 2, 3))]

    before = channels()
    taken = {k: v for k, v in options.items() if k not in _OWN}
    ours.update(taken, init_cfg=None)
    neck = model.get('neck', {})
    if list(neck.get('in_channels', ())) == before:
        neck['in_channels'] = channels()
    if preprocessor := model.get('data_preprocessor'):
        preprocessor.update(
            mean=list(pixels.mean),
            std=list(pixels.std),
            bgr_to_rgb=pixels.order == 'RGB',
        )
    print_log(
        f'The file is of {dialect.name}: the model takes its network, '
        f'{options["arch"]}, and its pixels, {pixels}',
        logger='current',
    )
