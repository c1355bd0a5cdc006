"""The public functions of :mod:`mmvovnet.weights`, by their first name."""

from .weights import *  # noqa: F403
from .weights import __all__ as __all__
