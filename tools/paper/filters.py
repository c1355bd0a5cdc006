"""How strongly layers read each other, from their weights."""

import re
from pathlib import Path

import numpy as np
from torch import Tensor

from mmvovnet.weights import CheckpointError, convert, load
from mmvovnet.weights.adapter import unwrap


def filter_norms(state: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Average the L1 norm of each block's filters by source and target.

    Args:
        state (dict[str, Tensor]): Weights of a classifier or detector with a
            CifarNet or VoVNet, in this package's names.

    Returns:
        dict[str, ndarray]: By the block's name, an array of shape
        (n + 1, n + 1) of a block of n layers. Row s is a source, the block's
        input first; column l a target, the aggregation or, after the last
        dense block, the classifier last. NaN where l does not read s.

    Raises:
        ValueError: If there is no such block.

    Example:
        >>> from mmvovnet import VoVNet
        >>> norms = filter_norms(VoVNet('V-27-slim').state_dict())
        >>> list(norms)[0], norms['stages.0.blocks.0'].shape
        ('stages.0.blocks.0', (6, 6))
    """
    convs: dict[str, list[Tensor]] = {}
    for name, weight in state.items():
        found = re.match(r'(.*stages\..+)\.layers\.(\d+)\..*weight', name)
        if found and weight.dim() == 4:
            block = convs.setdefault(found[1], [])
            # A layer of several convs puts out what the last of them does.
            block[int(found[2]) :] = [weight]
    if not convs:
        raise ValueError(
            'these weights have no dense block and no One-Shot Aggregation '
            f'module; they begin with {list(state)[:3]}'
        )
    return {name: _norms(c, *_final(state, name)) for name, c in convs.items()}


def _final(state: dict[str, Tensor], block: str) -> tuple[Tensor, bool]:
    """What reads all of a block, and whether the block is dense."""
    aggregation = f'{block}.aggregate.conv.weight'
    if aggregation in state:
        return state[aggregation], False
    transition = re.sub(r'\.0$', '.1.conv.weight', block)
    last = transition if transition in state else 'head.fc.weight'
    return state[last], True


def _norms(convs: list[Tensor], final: Tensor, dense: bool) -> np.ndarray:
    n, width = len(convs), len(convs[0])
    sources = [final.shape[1] - n * width] + [width] * n
    norms = np.full((n + 1, n + 1), np.nan)
    for i, weight in enumerate([*convs, final]):
        filters = weight.abs().reshape(*weight.shape[:2], -1).sum(-1).mean(0)
        if dense or i == n:
            parts = filters.split(sources[: i + 1])
            norms[: i + 1, i] = [float(part.mean()) for part in parts]
        else:
            norms[i, i] = filters.mean()
    return norms


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a checkpoint, as data, in this package's names.

    Args:
        path (str | Path): Weights of any public VoVNet code, or a CifarNet's.
    """
    saved = load(path, 'cpu')
    try:
        return convert(saved)
    except CheckpointError:  # no VoVNet
        return unwrap(saved)
