"""The package's nodes in OpenMMLab's registry tree, scope ``mmvovnet``.

mmengine imports this module by itself for a type such as
``'mmvovnet.VoVNet'``, and hides an ``ImportError`` raised here: keep it tiny.
"""

from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import MODEL_WRAPPERS as ROOT_MODEL_WRAPPERS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import RUNNERS as ROOT_RUNNERS
from mmengine.registry import Registry

MODELS = Registry(
    'model',
    parent=ROOT_MODELS,
    scope='mmvovnet',
    locations=['mmvovnet.models', 'mmvovnet.paper.networks'],
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
    locations=['mmvovnet.checkpoint', 'mmvovnet.engine'],
)
RUNNERS = Registry(
    'runner',
    parent=ROOT_RUNNERS,
    scope='mmvovnet',
    locations=['mmvovnet.engine'],
)
DATASETS = Registry(
    'dataset',
    parent=ROOT_DATASETS,
    scope='mmvovnet',
    locations=['mmvovnet.datasets'],
)
