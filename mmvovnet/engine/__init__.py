"""Mends of mmengine's engine, active once this package is imported."""

from .config import load_config
from .fileio import LocalBackend
from .hooks import ChannelsLastHook, CheckpointHook, DistSamplerSeedHook
from .runner import CPUDistributedDataParallel, Runner

__all__ = [
    'CPUDistributedDataParallel',
    'ChannelsLastHook',
    'CheckpointHook',
    'DistSamplerSeedHook',
    'LocalBackend',
    'Runner',
    'load_config',
]
