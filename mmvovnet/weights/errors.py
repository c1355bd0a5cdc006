"""Errors of reading and loading checkpoints."""


class CheckpointError(RuntimeError):
    """A file that cannot be read as a checkpoint."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint that asks for more than data."""
