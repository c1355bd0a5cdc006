"""Whether weights are complete and finite."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmvovnet.models import VoVNet

from .convert import not_finite, summary
from .describe import describe
from .loading import CheckpointError

# Names that depend on options which weights are not asked for.
_OPTIONAL = ('num_batches_tracked', '.conv_offset.', '.gn.', '.bn.')


def check_sound(weights: Mapping[str, Any], prefix: str = '') -> None:
    """Refuse the weights of a part of a network, or of none.

    Args:
        weights (Mapping): A state dict in our names.
        prefix (str): Of the backbone in it. Defaults to ''.

    Raises:
        CheckpointError: A weight is NaN or infinite, and the backbone lacks a
            weight or has one of another shape.

    Example:
        >>> check_sound(VoVNet('V-27-slim').state_dict())
    """
    if broken := not_finite(weights):
        raise CheckpointError(f'NaN or infinite weights: {summary(broken)}')
    given = {
        name.removeprefix(prefix): tuple(value.shape)
        for name, value in weights.items()
        if name.startswith(prefix) and isinstance(value, Tensor)
    }
    backbone = {k: weights[prefix + k] for k in given if _is_stem_or_stage(k)}
    options = describe(backbone)
    last = max(int(k.split('.')[1]) for k in backbone if k[:6] == 'stages')
    with torch.device('meta'):
        network = VoVNet(**options, out_indices=(last,))
    wrong = []
    for name, value in network.state_dict().items():
        shape = tuple(value.shape)
        optional = any(part in name for part in _OPTIONAL)
        if name not in given and not optional:
            wrong.append(f'{name} (missing)')
        elif name in given and given[name] != shape:
            wrong.append(f'{name} {given[name]} (not {shape})')
    if wrong:
        raise CheckpointError(
            f'these are no whole VoVNet {options["arch"]}: {summary(wrong)}'
        )


def _is_stem_or_stage(name: str) -> bool:
    return name.startswith(('stem.', 'stages.'))
