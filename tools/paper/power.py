"""Power, sampled while something runs."""

import statistics
import threading
import time
from collections.abc import Callable

import torch
from benchmark.comparison import energy_meter

INTERVAL = 0.1  # seconds, as in the paper


class Sampler:
    """Reads power in a thread of its own, in a ``with`` block.

    Args:
        read (Callable): A function that returns watts.
        seconds (float): Time between two samples. Defaults to
            :data:`INTERVAL`.

    Attributes:
        watts (list[float]): The samples.

    Example:
        >>> with Sampler(lambda: 50.0, seconds=0.001) as sampler:
        ...     time.sleep(0.05)
        >>> statistics.mean(sampler.watts)
        50.0
    """

    def __init__(
        self, read: Callable[[], float], seconds: float = INTERVAL
    ) -> None:
        self.read = read
        self.seconds = seconds
        self.watts: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        self.read()  # from here on, if it gives the mean since the last call
        while not self._stop.wait(self.seconds):
            self.watts.append(self.read())

    def __enter__(self) -> 'Sampler':
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()


class _Rapl:
    """Power from a counter of energy: the mean since the last call."""

    def __init__(self, joules: Callable[[], float]) -> None:
        self.joules = joules
        self.last = joules(), time.perf_counter()
        self.watts = 0.0

    def __call__(self) -> float:
        now = self.joules(), time.perf_counter()
        used, seconds = (b - a for a, b in zip(self.last, now, strict=True))
        if used >= 0:  # the counter has not wrapped
            self.watts = used / seconds
        self.last = now
        return self.watts


def power_meter(device: str) -> Callable[[], float] | None:
    """Find what measures a device's power.

    Args:
        device (str): 'cuda' asks NVML, 'cpu' asks RAPL.

    Returns:
        Callable | None: A function that returns watts; None where there is
        nothing that this user may read.
    """
    if not device.startswith('cuda'):
        joules = energy_meter(device)
        return joules and _Rapl(joules)
    try:
        import pynvml
    except ImportError:
        return None
    try:
        torch.cuda.power_draw(device)
    except (pynvml.NVMLError, RuntimeError):
        return None
    return lambda: torch.cuda.power_draw(device) / 1e3


def mean_power(
    read: Callable[[], float], work: Callable[[], None], seconds: float
) -> tuple[float, float]:
    """Repeat some work for a while and sample the power.

    Args:
        read (Callable): A function that returns watts.
        work (Callable): What to repeat.
        seconds (float): For how long.

    Returns:
        tuple[float, float]: Mean watts, and repetitions a second.

    Raises:
        ValueError: If the time is too short for a sample.
    """
    if seconds < 2 * INTERVAL:
        raise ValueError(
            f'seconds={seconds} is too short for samples every {INTERVAL} s: '
            'use 3'
        )
    times, start = 0, time.perf_counter()
    with Sampler(read) as sampler:
        while (elapsed := time.perf_counter() - start) < seconds:
            work()
            times += 1
    return statistics.mean(sampler.watts), times / elapsed
