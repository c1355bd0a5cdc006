"""The network that published weights belong to."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .adapter import detect, unwrap
from .errors import CheckpointError
from .loading import load
from .public import locate

if TYPE_CHECKING:
    from mmvovnet.models import VoVNet


def from_pretrained(
    cls: type['VoVNet'], name: str | Path, **options: Any
) -> 'VoVNet':
    """Build the backbone that weights belong to, and load them.

    See :meth:`mmvovnet.VoVNet.from_pretrained`; the name is one of
    :func:`.public.locate`.
    """
    path, row = locate(name)
    state = unwrap(load(path, 'cpu'))
    adapter = detect(state)
    if adapter is None:
        raise CheckpointError(f"'{path}' holds no VoVNet")
    known = adapter.options(state) | (row.options if row else {})
    model = cls(**known | options)
    model.starting = True
    model.load_state_dict(
        {n: state[n] for n in state if adapter.in_backbone(n)}
    )
    model.starting = False
    model.is_init = True  # so that init_weights() does not draw them anew
    if row and model.in_channels == 3:
        model.pixels = (row.pixels,)
    return model
