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
) -> list[Measurement]:
    """Measure rows side by side.

    Args:
        rows (Sequence[str]): The rows.
        setting (Setting): What they share.
        rounds (int): Times that each row is timed, all rows taking turns,
            after one round of warm-up. Defaults to 5.
        training (bool): Measure training, too. Defaults to True.

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
    subjects = [Subject(row, setting) for row in rows]
    for subject, peak in zip(subjects, peaks, strict=True):
        subject.result.peak_mb = peak
        subject.result.joules = joules(subject)
        if training and 'compile' not in subject.result.row:
            subject.model.train()
            with setting.autocast():
                saved = saved_bytes(subject.model, subject.x)
            subject.result.saved_mb = saved / 1e6
    for i in range(rounds + 1):
        for subject in subjects:
            times = [milliseconds(subject.forward, setting.device)]
            if training:
                times.append(milliseconds(subject.step, setting.device))
                subject.model.zero_grad()
            if i:  # the first is the warm-up
                subject.result.forward_ms.append(times[0])
                subject.result.step_ms += times[1:]
    return [subject.result for subject in subjects]
