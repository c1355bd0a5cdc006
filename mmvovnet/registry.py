"""The package's nodes in OpenMMLab's registry tree, scope ``mmvovnet``.

mmengine imports this module by itself for a type such as
``'mmvovnet.VoVNet'``, and hides an ``ImportError`` raised here: keep it tiny.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from mmengine import registry as roots
from mmengine.registry import Registry


class LazyRegistry(Registry):
    """A registry that imports some locations for what the others lack.

    Detectors and their data need MMDetection, which takes seconds to import
    and may be missing where a backbone is all that is wanted.
    """

    def __init__(
        self, root: Registry, location: str, *lazy_locations: str
    ) -> None:
        super().__init__(
            root.name, parent=root, scope='mmvovnet', locations=[location]
        )
        self._lazy_locations = lazy_locations

    def get(self, key: str) -> type | None:
        """Find a class by its name: see mmengine's ``Registry.get``.

        Raises:
            ImportError: What may hold it cannot be imported.
        """
        found = super().get(key)
        scope, name = self.split_scope_key(key)
        if found is not None or scope not in (None, self.scope):
            return found
        reasons = []
        for location, error in self.import_lazily():
            if error is not None:
                reasons.append(f'{location}: {error}')
            if name in self._module_dict:
                return self._module_dict[name]
        if reasons:
            raise ImportError(
                f"'{self.scope}.{name}' is not found, and what may hold it "
                f'cannot be imported ({"; ".join(reasons)}). Detectors and '
                'their data need mmdet and mmcv with its ops: '
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
    roots.MODELS,
    'mmvovnet.models',
    'mmvovnet.models.refinedet',
    'mmvovnet.models.ssd',
    'mmvovnet.models.centermask',
)
DATASETS = LazyRegistry(
    roots.DATASETS,
    'mmvovnet.datasets',
    'mmvovnet.datasets.detection',
    'mmvovnet.datasets.checked',
    'mmvovnet.datasets.segmentation',
)
HOOKS, OPTIM_WRAPPERS, OPTIM_WRAPPER_CONSTRUCTORS, RUNNERS = (
    Registry(
        root.name,
        parent=root,
        scope='mmvovnet',
        locations=['mmvovnet.weights', 'mmvovnet.engine'],
    )
    for root in (
        roots.HOOKS,
        roots.OPTIM_WRAPPERS,
        roots.OPTIM_WRAPPER_CONSTRUCTORS,
        roots.RUNNERS,
    )
)


@roots.MODELS.register_module(name='VoVNet')
def _vovnet(*args: Any, **kwargs: Any) -> Any:
    """Build a VoVNet; its class takes this name when it is imported."""
    from .models import VoVNet

    return VoVNet(*args, **kwargs)
