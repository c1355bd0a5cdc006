"""What a model costs, counted and measured."""

from .cost import Cost, count_cost, saved_bytes

__all__ = ['Cost', 'count_cost', 'saved_bytes']
