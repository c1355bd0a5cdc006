"""VoVNet and VoVNetV2 backbones for MMDetection and MMPretrain.

Importing the package registers names, and changes nothing else. What today's
PyTorch breaks in mmengine is repaired by importing :mod:`mmvovnet.engine`.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models import VoVNet

__version__ = '0.1.0'
__all__ = ['VoVNet', 'checkpoint', 'registry', 'weights']


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: PyTorch takes seconds."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    try:
        if name == 'VoVNet':
            return import_module('.models', __name__).VoVNet
        return import_module(f'.{name}', __name__)
    except ModuleNotFoundError as error:
        if error.name not in ('torch', 'mmengine', 'mmcv', 'yaml'):
            raise
        raise ModuleNotFoundError(
            f'mmvovnet.{name} needs {error.name}: pip install '
            "'mmvovnet[backbone]' mmcv-lite==2.1.0, or mmcv with its ops "
            '(tools/install_mmcv.py)',
            name=error.name,
        ) from error


class _Registration:
    """Registers names when mmengine's registries are imported.

    Not before: a process that runs an exported file needs no mmengine.
    """

    @classmethod
    def find_spec(cls, name: str, *args: Any) -> ModuleSpec | None:
        """Find mmengine's registries as others do; ours follow them."""
        if name != 'mmengine.registry':
            return None
        sys.meta_path.remove(cls)
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            import_module('mmvovnet.registry')

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if 'mmengine.registry' in sys.modules:
    import_module('mmvovnet.registry')
else:
    sys.meta_path.insert(0, _Registration)
