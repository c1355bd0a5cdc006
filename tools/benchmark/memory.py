"""The most memory that a training step takes."""

import ctypes
import gc
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import torch

from .allocations import cuda_bytes
from .rows import build_row
from .subject import Setting, Subject

# That of autocast on CUDA.
PRECISIONS = dict(fp32=torch.float32, amp=torch.float16, bf16=torch.bfloat16)


def _status_mb(key: str) -> float:
    text = Path('/proc/self/status').read_text()
    return int(text.split(f'{key}:')[1].split()[0]) / 1e3  # kB


def _process_peak(row: str, setting: Setting, stock: bool) -> float | None:
    if not Path('/proc/self/status').exists():
        return None
    if not stock:  # -3 is M_MMAP_THRESHOLD
        ctypes.CDLL(None).mallopt(-3, 1_000_000)
    if setting.threads:
        torch.set_num_threads(setting.threads)
    subject = Subject(row, setting)
    # What is imported and set up on first use is not counted.
    images, subject.x = subject.x, subject.x[:1, :, :64, :64]
    subject.step()
    subject.optimizer.zero_grad()
    subject.x = images
    gc.collect()
    before = _status_mb('VmRSS')
    with suppress(OSError):  # VmHWM starts anew
        Path('/proc/self/clear_refs').write_text('5')
    subject.step()
    return _status_mb('VmHWM') - before


def peak_memory(
    row: str, setting: Setting, stock: bool = False
) -> float | None:
    """Measure the most memory that a training step takes, in MB.

    The model, its optimizer's state and the batch are not counted, gradients
    of the parameters are. On CUDA the allocator knows; on CPU the resident
    set of a fresh process is read, for one that has run before has memory to
    give out already.

    Args:
        row (str): The row.
        setting (Setting): What all rows share.
        stock (bool): Leave glibc's malloc as it is: freed tensors go to its
            heap, and how well it fills the gaps is measured as well.
            Otherwise they go back to the system at once, as they do with
            ``MALLOC_MMAP_THRESHOLD_=1000000`` in the environment. Defaults
            to False.

    Returns:
        float | None: MB; None on a CPU of a system without ``/proc``.
    """
    if setting.device.startswith('cuda'):
        subject = Subject(row, setting)
        subject.step()
        subject.optimizer.zero_grad()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        subject.step()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with ProcessPoolExecutor(1, get_context('spawn')) as pool:
        return pool.submit(_process_peak, row, setting, stock).result()


def cuda_memory(rows: Sequence[str], setting: Setting) -> list[dict[str, str]]:
    """Compute what training steps would take on CUDA, without a GPU.

    Args:
        rows (Sequence[str]): The rows.
        setting (Setting): Batch, size and precision.

    Returns:
        list[dict[str, str]]: Rows, each a text by column. ``peak MB`` is that
        of :func:`peak_memory`; ``total MB`` adds weights, momentum and the
        batch. See :func:`.allocations.cuda_bytes`.
    """
    table = []
    for row in rows:
        found = cuda_bytes(
            build_row(row),
            (setting.batch, *setting.shape),
            PRECISIONS[setting.precision],
        )
        sizes = dict(kept=found.kept, peak=found.peak, total=found.total)
        table.append(
            {
                'model': row,
                'batch': str(setting.batch),
                'size': 'x'.join(map(str, setting.shape[1:])),
                'precision': setting.precision,
                **{f'{k} MB': f'{v / 1e6:.0f}' for k, v in sizes.items()},
            }
        )
    return table
