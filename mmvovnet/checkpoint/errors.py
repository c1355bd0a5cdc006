"""What is wrong with a checkpoint."""


class CheckpointError(RuntimeError):
    """A file that cannot be read as a checkpoint."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint that asks for more than data."""
