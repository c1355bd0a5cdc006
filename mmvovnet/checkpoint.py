"""The functions of :mod:`mmvovnet.weights`, by its name in version 0.1."""

from .weights import *  # noqa: F403
from .weights import __all__ as __all__
