"""The state of every generator that a training draws from."""

import random
from typing import Any

import numpy as np
import torch


def get_state() -> dict[str, Any]:
    """The generators' states in this process, as a checkpoint may hold them.

    Example:
        >>> state = get_state()
        >>> first = float(torch.rand(())), np.random.rand(), random.random()
        >>> set_state(state)
        >>> first == (
        ...     float(torch.rand(())), np.random.rand(), random.random()
        ... )
        True
    """
    state: Any = np.random.get_state()
    name, keys, *rest = state
    return dict(
        python=random.getstate(),
        numpy=(name, torch.from_numpy(keys.astype('int64')), *rest),
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state_all() if _on_cuda() else [],
    )


def set_state(state: dict[str, Any]) -> None:
    """Set the generators of this process.

    Args:
        state (dict): What :func:`get_state` returned, here or elsewhere.
    """
    version, inner, gauss = state['python']
    random.setstate((version, tuple(inner), gauss))
    name, keys, *rest = state['numpy']
    np.random.set_state((name, keys.numpy().astype('uint32'), *rest))
    torch.set_rng_state(state['torch'].cpu())
    if state['cuda'] and _on_cuda():
        torch.cuda.set_rng_state_all([s.cpu() for s in state['cuda']])


def _on_cuda() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()
