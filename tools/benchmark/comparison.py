"""Rows measured side by side."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from .allocations import saved_bytes
from .memory import peak_memory
from .rows import INFERENCE_MODES
from .subject import Measurement, Setting, Subject, milliseconds


def measure(
    rows: Sequence[str],
    setting: Setting,
    rounds: int = 5,
    training: bool = True,
    memory: bool = False,
) -> list[Measurement]:
    """Measure rows side by side.

    Args:
        rows (Sequence[str]): The rows.
        setting (Setting): What they share.
        rounds (int): How often each row is timed, all rows taking turns.
            Defaults to 5.
        training (bool): Measure training, too. Defaults to True.
        memory (bool): Measure training alone, and its peak with stock malloc
            as well. Defaults to False.

    Raises:
        ValueError: If a row for inference alone is to be trained.
    """
    for row in rows if training else []:
        if set(row.split('+')) & set(INFERENCE_MODES):
            raise ValueError(
                f'row {row!r} cannot be trained: measure inference alone, '
                'which tools/benchmark.py does with --inference'
            )
    if setting.threads:
        torch.set_num_threads(setting.threads)
    setting.threads = torch.get_num_threads()
    # Compiling for a small image and then for this one takes many minutes.
    plain = [r for r in rows if training and 'compile' not in r.split('+')]
    peaks = [peak_memory(r, setting) if r in plain else None for r in rows]
    stock = [
        peak_memory(r, setting, True) if memory and r in plain else None
        for r in rows
    ]
    subjects = [Subject(row, setting) for row in rows]
    for subject, *measured in zip(subjects, peaks, stock, strict=True):
        subject.result.peak_mb, subject.result.stock_peak_mb = measured
        subject.result.joules = None if memory else joules(subject)
        if subject.result.row in plain:
            subject.model.train()
            with setting.autocast():
                saved = saved_bytes(subject.model, subject.x)
            subject.result.saved_mb = saved / 1e6
    for subject in subjects if training and rounds else []:
        first = milliseconds(subject.step, setting.device)
        subject.result.first_step_s = first / 1e3
        subject.optimizer.zero_grad()
    for _ in range(rounds):
        for subject in subjects:
            result, device = subject.result, setting.device
            if not memory:
                # The row before may use another runtime, whose threads still
                # spin, and its data is what the caches hold.
                subject.forward()
                result.forward_ms.append(milliseconds(subject.forward, device))
            if training:
                result.step_ms.append(milliseconds(subject.step, device))
                subject.optimizer.zero_grad()
    return [subject.result for subject in subjects]


def energy_meter(device: str) -> Callable[[], float] | None:
    """Find a counter of the joules that a device has used.

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
    """Measure the joules of an image in inference; None without a counter."""
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
