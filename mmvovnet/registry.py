"""The package's nodes in OpenMMLab's registry tree, scope ``mmvovnet``.

mmengine imports this module by itself for a type such as
``'mmvovnet.VoVNet'``, and hides an ``ImportError`` raised here: keep it tiny.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import MODEL_WRAPPERS as ROOT_MODEL_WRAPPERS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS as ROOT_OPTIM_WRAPPER_CONSTRUCTORS,
)
from mmengine.registry import OPTIM_WRAPPERS as ROOT_OPTIM_WRAPPERS
from mmengine.registry import RUNNERS as ROOT_RUNNERS
from mmengine.registry import Registry


class LazyRegistry(Registry):
    """A registry that imports some locations for what the others lack.

    Detectors and their data need MMDetection, which takes seconds to import
    and may be missing where a backbone is all that is wanted.

    Args:
        *args: Of mmengine's ``Registry``.
        lazy_locations (tuple[str]): Modules to import, one after another,
            until they hold a name that is not found elsewhere.
        **kwargs: Of mmengine's ``Registry``.
    """

    def __init__(
        self, *args, lazy_locations: tuple[str, ...] = (), **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self._lazy_locations = lazy_locations

    def get(self, key: str) -> type | None:
        """Find a class by its name: see mmengine's ``Registry.get``.

        Raises:
            ImportError: If it is not found, and may be in a module that lacks
                a dependency.
        """
        found = super().get(key)
        scope, name = self.split_scope_key(key)
        if found is not None or scope not in (None, self.scope):
            return found
        errors = {}
        for location, error in self.import_lazily():
            if error is not None:
                errors[location] = error
            if name in self._module_dict:
                return self._module_dict[name]
        if errors:
            reasons = '; '.join(f'{k}: {v}' for k, v in errors.items())
            raise ImportError(
                f"'{self.scope}.{name}' is not found, and what may hold it "
                f'cannot be imported ({reasons}). Detectors and their data '
                'need mmdet and mmcv with its ops: '
                "pip install 'mmvovnet[detection]', and for segmentation "
                "'mmvovnet[segmentation]'"
            )
        return None

    def import_lazily(self) -> Iterator[tuple[str, ImportError | None]]:
        """Import the locations, one after another, and give each error."""
        for location in self._lazy_locations:
            try:
                import_module(location)
            except ImportError as error:
                yield location, error
            else:
                yield location, None


MODELS = LazyRegistry(
    'model',
    parent=ROOT_MODELS,
    scope='mmvovnet',
    locations=['mmvovnet.models'],
    lazy_locations=(
        'mmvovnet.models.refinedet',
        'mmvovnet.models.ssd',
        'mmvovnet.models.centermask',
    ),
)
MODEL_WRAPPERS = Registry(
    'model wrapper',
    parent=ROOT_MODEL_WRAPPERS,
    scope='mmvovnet',
    locations=['mmvovnet.engine'],
)
HOOKS = Registry(
    'hook',
    parent=ROOT_HOOKS,
    scope='mmvovnet',
    locations=['mmvovnet.weights', 'mmvovnet.engine'],
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=ROOT_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='mmvovnet',
    locations=['mmvovnet.engine'],
)
OPTIM_WRAPPERS = Registry(
    'optim wrapper',
    parent=ROOT_OPTIM_WRAPPERS,
    scope='mmvovnet',
    locations=['mmvovnet.engine'],
)
RUNNERS = Registry(
    'runner',
    parent=ROOT_RUNNERS,
    scope='mmvovnet',
    locations=['mmvovnet.engine'],
)
DATASETS = LazyRegistry(
    'dataset',
    parent=ROOT_DATASETS,
    scope='mmvovnet',
    locations=['mmvovnet.datasets'],
    lazy_locations=(
        'mmvovnet.datasets.detection',
        'mmvovnet.datasets.checked',
        'mmvovnet.datasets.segmentation',
    ),
)


@ROOT_MODELS.register_module(name='VoVNet')
def _vovnet(*args: Any, **kwargs: Any) -> Any:
    """Build a VoVNet; its class takes this name when it is imported."""
    from .models import VoVNet

    return VoVNet(*args, **kwargs)
