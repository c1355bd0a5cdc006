"""A row's model on a machine, and what is measured of it."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mmvovnet.analysis.cost import Cost, count_cost
from mmvovnet.processor import has_bfloat16, processor

from .forms import prepare
from .rows import build_row
from .summary import Quartiles


@dataclass
class Setting:
    """What all rows share.

    Attributes:
        batch (int): Images per batch.
        size (int | tuple[int, int]): Height and width of an image; one number
            for both.
        device (str): Device.
        precision (str): 'fp32', 'amp' (autocast: fp16 on CUDA, bf16 on CPU)
            or 'bf16' (autocast).
        threads (int): CPU threads; 0 for torch's own choice.
    """

    batch: int = 8
    size: int | tuple[int, int] = 224
    device: str = 'cpu'
    precision: str = 'fp32'
    threads: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        size = self.size
        return (3, *(size if isinstance(size, tuple) else (size, size)))

    def images(self) -> Tensor:
        """Make a batch, the same every time."""
        generator = torch.Generator().manual_seed(0)
        x = torch.rand((self.batch, *self.shape), generator=generator)
        return x.to(self.device)

    def autocast(self) -> Any:
        """Return the context that gives the precision."""
        if self.precision == 'fp32':
            return nullcontext()
        device = self.device.partition(':')[0]
        half = device == 'cuda' and self.precision == 'amp'
        dtype = torch.float16 if half else torch.bfloat16
        return torch.autocast(device, dtype)


def scaling(setting: Setting) -> Iterator[Setting]:
    """Vary a setting's batch, size and threads, one at a time."""
    values = vars(setting)
    for batch in (1, 2, 4, 8, 16):
        yield Setting(**values | dict(batch=batch))
    for size in (160, 224, 320, 448, 640):
        yield Setting(**values | dict(size=size))
    if setting.device == 'cpu':
        count = os.cpu_count() or 1
        for threads in sorted({1, max(count // 2, 1), count}):
            yield Setting(**values | dict(threads=threads))


def describe_machine(setting: Setting) -> str:
    """Describe in a sentence or two where the figures were measured."""
    text = f'{processor()[0]}, {os.cpu_count()} cores, '
    if setting.device.startswith('cuda'):
        text = f'{torch.cuda.get_device_name(setting.device)}, '
    else:
        text += f'{torch.get_num_threads()} threads, '
    text += f'torch {torch.__version__}, {setting.precision}.'
    half = setting.device == 'cpu' and setting.precision != 'fp32'
    if half and not has_bfloat16():
        text += (
            ' This CPU has no bfloat16 arithmetic: it is emulated, and slower '
            'than fp32.'
        )
    return text


@dataclass
class Measurement:
    """What was found about a row; None where a thing cannot be measured."""

    row: str
    setting: Setting
    cost: Cost
    forward_ms: list[float] = field(default_factory=list)
    step_ms: list[float] = field(default_factory=list)
    saved_mb: float | None = None
    peak_mb: float | None = None
    stock_peak_mb: float | None = None
    joules: float | None = None
    first_step_s: float | None = None

    def columns(self) -> dict[str, str]:
        """Give the row of the table, by column."""
        images = None
        if self.forward_ms:
            seconds = statistics.median(self.forward_ms) / 1e3
            images = self.setting.batch / seconds
        return {
            'model': self.row,
            'batch': str(self.setting.batch),
            'size': 'x'.join(map(str, self.setting.shape[1:])),
            'threads': str(self.setting.threads),
            'params M': f'{self.cost.parameters / 1e6:.2f}',
            'GMACs': f'{self.cost.macs / 1e9:.2f}',
            'activations M': f'{self.cost.activations / 1e6:.2f}',
            'memory access M': f'{self.cost.memory_access / 1e6:.2f}',
            'forward ms': _quartiles(self.forward_ms),
            'images/s': _number(images, 1),
            'GMAC/s': _number(images and images * self.cost.macs / 1e9, 0),
            'step ms': _quartiles(self.step_ms),
            'first step s': _number(self.first_step_s, 1),
            'saved MB': _number(self.saved_mb, 1),
            'peak MB': _number(self.peak_mb, 0),
            'peak MB, stock malloc': _number(self.stock_peak_mb, 0),
            'J/image': _number(self.joules, 3),
        }


def _number(value: float | None, digits: int) -> str:
    return '-' if value is None else f'{value:.{digits}f}'


def _quartiles(times: list[float]) -> str:
    return f'{Quartiles.of(times):.1f}' if times else '-'


class Subject:
    """A row's model, ready to run."""

    def __init__(self, row: str, setting: Setting) -> None:
        self.setting = setting
        model = build_row(row).to(setting.device)
        self.x = setting.images()
        if 'channels_last' in row.split('+'):
            layout: Any = torch.channels_last
            model.to(memory_format=layout)
            self.x = self.x.contiguous(memory_format=layout)
        cost = count_cost(model, setting.shape)
        self.model = prepare(model, row, self.x)
        self.result = Measurement(row, setting, cost)

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """SGD with momentum, which trains most detectors."""
        return torch.optim.SGD(self.model.parameters(), lr=1e-6, momentum=0.9)

    @torch.no_grad()
    def forward(self) -> None:
        """Run the model for inference."""
        self.model.eval()
        with self.setting.autocast():
            self.model(self.x)

    def step(self) -> None:
        """Run a training step: forward, backward and the optimizer's."""
        self.optimizer.zero_grad()
        self.model.train()
        with self.setting.autocast():
            outs = self.model(self.x)
        outs = [outs] if isinstance(outs, Tensor) else outs
        loss = torch.stack([out.float().mean() for out in outs]).sum()
        del outs  # the backward pass frees them
        loss.backward()
        self.optimizer.step()


def milliseconds(function: Callable[[], None], device: str) -> float:
    """Time a function, on CUDA by the device's own clock."""
    if device.startswith('cuda'):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        function()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end)
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3
