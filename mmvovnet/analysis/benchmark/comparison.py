"""Rows measured side by side."""

from collections.abc import Sequence

import torch

from mmvovnet.analysis.cost import saved_bytes

from .energy import joules
from .memory import peak_memory
from .rows import INFERENCE_MODES
from .setting import Setting
from .subject import Measurement, Subject, milliseconds


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
        rounds (int): Times that each row is timed, all rows taking turns.
            Defaults to 5.
        training (bool): Measure training, too. Defaults to True.
        memory (bool): Measure training alone, and its peak with stock malloc
            as well. Defaults to False.

    Returns:
        list[Measurement]: One result per row.

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
    peaks = [peak_memory(r, setting) if training else None for r in rows]
    stock = [peak_memory(r, setting, True) if memory else None for r in rows]
    subjects = [Subject(row, setting) for row in rows]
    for subject, *measured in zip(subjects, peaks, stock, strict=True):
        subject.result.peak_mb, subject.result.stock_peak_mb = measured
        subject.result.joules = None if memory else joules(subject)
        if training and 'compile' not in subject.result.row:
            subject.model.train()
            with setting.autocast():
                saved = saved_bytes(subject.model, subject.x)
            subject.result.saved_mb = saved / 1e6
    for subject in subjects if training and rounds else []:
        subject.step()
        subject.optimizer.zero_grad()
    for _ in range(rounds):
        for subject in subjects:
            result, device = subject.result, setting.device
            if not memory:
                # The row before may be of another runtime, whose threads
                # still spin, and has left nothing of this one in the caches.
                subject.forward()
                result.forward_ms.append(milliseconds(subject.forward, device))
            if training:
                result.step_ms.append(milliseconds(subject.step, device))
                subject.optimizer.zero_grad()
    return [subject.result for subject in subjects]
