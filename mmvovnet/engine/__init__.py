"""Mends of mmengine's engine, active once this package is imported."""

from .config import load_config
from .fileio import LocalBackend
from .hooks import ChannelsLastHook, CheckpointHook, DistSamplerSeedHook
from .runner import CPUDistributedDataParallel, Runner, dump_predictions

__all__ = [
    'CPUDistributedDataParallel',
    'ChannelsLastHook',
    'CheckpointHook',
    'DistSamplerSeedHook',
    'LocalBackend',
    'Runner',
    'dump_predictions',
    'load_config',
]
