"""Models made ready for inference: folded, exported, run."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cpu.accelerate import accelerate as accelerate
    from .describe import describe_model as describe_model
    from .exporting import export as export
    from .folding import fuse as fuse
    from .inference.runtime import Exported as Exported
    from .inference.runtime import load_exported as load_exported

_HOMES = {
    'Exported': '.inference.runtime',
    'accelerate': '.cpu.accelerate',
    'describe_model': '.describe',
    'export': '.exporting',
    'fuse': '.folding',
    'load_exported': '.inference.runtime',
}
__all__ = [*_HOMES]
# Of exported files, by format. Options are read before NumPy is imported.
SUFFIXES = {
    'onnx': '.onnx',
    'torchscript': '.torchscript',
    'torch-export': '.pt2',
    'openvino': '.xml',
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: few uses need all of them."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    """For Sphinx and for completion."""
    return [*globals(), *_HOMES]
