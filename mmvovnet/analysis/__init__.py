"""What a model costs, sees and reached, and what a checkpoint does."""

from .cost import Cost, count_cost

__all__ = ['Cost', 'count_cost']
