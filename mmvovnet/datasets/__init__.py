"""The demo data."""

from importlib.util import find_spec

from .classification import DigitsClassification
from .digits import prepare

__all__ = ['DigitsClassification', 'prepare']

if find_spec('mmdet'):
    from .detection import DigitsDetection

    __all__ += ['DigitsDetection']
