"""The signals that end a training, and who listens to them."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = tuple(
    getattr(signal, name)
    for name in ('SIGTERM', 'SIGINT', 'SIGUSR1', 'SIGUSR2')
    if hasattr(signal, name)
)
"""What clusters and users end a training with."""


@contextmanager
def shield_children() -> Iterator[None]:
    """Make child processes ignore the signals that this process handles.

    A cluster sends them to every process, and a training that loses the
    workers of its data loader cannot finish the iteration.
    """
    if not hasattr(signal, 'pthread_sigmask'):  # Windows
        yield
        return
    former = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def end_children() -> None:
    """End the processes that ignore signals: see :func:`shield_children`."""
    if hasattr(signal, 'SIGCHLD'):  # PyTorch's would raise for each of them
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for child in multiprocessing.active_children():
        child.kill()
