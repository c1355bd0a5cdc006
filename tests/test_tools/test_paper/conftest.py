from tests.pictures import legible

__all__ = ['legible']
