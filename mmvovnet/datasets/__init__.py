"""Data for the demo, and data sets that check their boxes."""

from .classification import DigitsClassification
from .digits import prepare

__all__ = ['DigitsClassification', 'prepare']
