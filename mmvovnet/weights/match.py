"""A config's model made the network that a file of other code holds."""

from typing import Any

from mmengine.logging import print_log

from mmvovnet.models.archs import resolve_arch

from .convert import find, unwrap
from .describe import describe
from .dialects import DIALECTS
from .loading import load
from .pretrained import locate


def match(model: dict, file: str) -> None:
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
    backbone = model.get('backbone', {})
    if backbone.get('type') not in ('VoVNet', 'mmvovnet.VoVNet'):
        return
    path, row = locate(file)
    state = unwrap(load(path, 'cpu'))
    source = find(state)
    if (
        source is None
        or source.dialect is DIALECTS[0]
        or not source.is_whole
        or not source.dialect.place
    ):
        return
    ours = {source.in_backbone(name): name for name in state}
    theirs = describe({our: state[name] for our, name in ours.items() if our})
    dialect = source.dialect
    pixels = row.pixels if row else dialect.pixels
    before = _channels(backbone)
    backbone.update(
        {key: theirs[key] for key in ('arch', 'gate', 'gate_place')},
        **dialect.hidden(theirs['gate']),
        init_cfg=None,
    )
    after = _channels(backbone)
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


def _channels(backbone: dict[str, Any]) -> list[int]:
    widths = resolve_arch(backbone.get('arch', 'V-39'))['out_channels']
    return [widths[i] for i in backbone.get('out_indices', (0, 1, 2, 3))]
