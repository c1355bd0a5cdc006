"""Weights and an image that depend on names and shapes alone.

Two implementations with the same keys then hold the same weights, so that the
outputs of a peer can be recorded without its weights.
"""

import zlib

import numpy as np
import torch


def values(key, shape):
    """He-scaled for convs and linear layers, near 1 for norms."""
    rng = np.random.RandomState(zlib.crc32(key.encode()) & 0x7FFFFFFF)
    x = rng.standard_normal(shape).astype(np.float32)
    if key.endswith('num_batches_tracked'):
        return np.zeros(shape, dtype=np.int64)
    if key.endswith('running_var'):
        return 1 + 0.1 * np.abs(x)
    if len(shape) >= 2:
        fan_in = int(np.prod(shape[1:]))
        return x * np.float32(np.sqrt(2.0 / fan_in))
    if key.endswith('weight'):
        return 1 + 0.1 * x
    return 0.1 * x


def image(size):
    """The input of every recording, of shape (1, 3, size, size)."""
    key = f'input1x3x{size}'
    return torch.as_tensor(values(key, (1, 3, size, size)))
