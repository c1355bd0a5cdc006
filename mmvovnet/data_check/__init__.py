"""Is this data what the config needs? Asked before a training starts."""

from .check import check

__all__ = ['check']
