"""CPU kernels for inference: see :mod:`.accelerate`."""
