"""Changes of mmengine for the whole process, made on import.

A config imports it by ``custom_imports=dict(imports=['mmvovnet.engine'])`` or
by naming one of these classes. mmengine then

- loads checkpoints safely, of any origin: :mod:`mmvovnet.engine.schemes`,
- writes local files whole or not at all: :class:`LocalBackend`,
- resumes from the last complete checkpoint: :class:`CheckpointHook`,
- resumes exactly: :class:`DistSamplerSeedHook`.
"""

from . import schemes  # noqa: F401
from .amp import Bfloat16Hook, CPUAmpOptimWrapper
from .config import find_config, load_config
from .finite import FiniteLossHook
from .hooks import ChannelsLastHook, DistSamplerSeedHook, MemoryEfficientHook
from .images import LoadImageFromFile
from .interrupt import EpochBasedTrainLoop, InterruptHook
from .layer_decay import LayerDecayOptimWrapperConstructor
from .resume import CheckpointHook
from .runner import Runner
from .storage import LocalBackend
from .strategies import FlexibleRunner, FSDPStrategy

__all__ = [
    'Bfloat16Hook',
    'CPUAmpOptimWrapper',
    'ChannelsLastHook',
    'CheckpointHook',
    'DistSamplerSeedHook',
    'EpochBasedTrainLoop',
    'FSDPStrategy',
    'FiniteLossHook',
    'FlexibleRunner',
    'InterruptHook',
    'LayerDecayOptimWrapperConstructor',
    'LoadImageFromFile',
    'LocalBackend',
    'MemoryEfficientHook',
    'Runner',
    'find_config',
    'load_config',
]
