"""Models made ready for inference: folded, exported, run."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cpu.accelerate import accelerate
    from .describe import describe_model
    from .exporting import export
    from .folding import FuseHook, fuse
    from .inference.runtime import Exported, load_exported

__all__ = [
    'Exported',
    'FuseHook',
    'accelerate',
    'describe_model',
    'export',
    'fuse',
    'load_exported',
]
_HOMES = {
    'Exported': '.inference.runtime',
    'FuseHook': '.folding',
    'accelerate': '.cpu.accelerate',
    'describe_model': '.describe',
    'export': '.exporting',
    'fuse': '.folding',
    'load_exported': '.inference.runtime',
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: few uses need all of them."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
