"""The energy of an image, where the machine measures it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

from .subject import Subject, milliseconds


def energy_meter(device: str) -> Callable[[], float] | None:
    """Find a counter of the energy that a device has used.

    Args:
        device (str): 'cuda' asks NVML, 'cpu' asks RAPL.

    Returns:
        Callable | None: A function that returns joules; None where there is
        no counter, or none that this user may read.
    """
    if device.startswith('cuda'):
        try:
            import pynvml
        except ImportError:
            return None
        try:
            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByUUID(
                f'GPU-{torch.cuda.get_device_properties(device).uuid}'
            )
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError:
            return None
        return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
    packages = [
        path / 'energy_uj'
        for path in Path('/sys/class/powercap').glob('intel-rapl:?')
    ]
    if not packages or not all(os.access(p, os.R_OK) for p in packages):
        return None
    return lambda: sum(int(p.read_text()) for p in packages) / 1e6


def joules(subject: Subject, seconds: float = 2.0) -> float | None:
    """Measure the joules of an image in inference.

    Args:
        subject (Subject): The model.
        seconds (float): For how long. Defaults to 2.

    Returns:
        float | None: Joules; None where nothing counts them.
    """
    meter = energy_meter(subject.setting.device)
    if meter is None:
        return None
    images, before = 0, meter()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        milliseconds(subject.forward, subject.setting.device)
        images += subject.setting.batch
    used = meter() - before
    return used / images if used > 0 else None  # RAPL's counter wraps
