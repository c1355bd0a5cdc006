"""What a model costs, counted and measured."""

from .cost import Cost, count_cost, saved_bytes
from .cuda_bytes import CudaBytes, cuda_bytes

__all__ = ['Cost', 'CudaBytes', 'count_cost', 'cuda_bytes', 'saved_bytes']
