"""A row's model, and what was found about it."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from mmvovnet.analysis.cost import Cost, count_cost
from mmvovnet.analysis.summary import Quartiles

from .inference import prepare
from .rows import build_row
from .setting import Setting


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
    """A row's model, ready to run.

    Args:
        row (str): The row.
        setting (Setting): What all rows share.
    """

    def __init__(self, row: str, setting: Setting) -> None:
        self.setting = setting
        model = build_row(row).to(setting.device)
        if setting.channels_last:
            model.to(memory_format=torch.channels_last)
        self.x = setting.images()
        cost = count_cost(model, setting.shape)
        self.model = prepare(model, row, self.x)
        self.result = Measurement(row, setting, cost)

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """The one that most detectors are trained by."""
        return torch.optim.SGD(self.model.parameters(), lr=1e-6, momentum=0.9)

    @torch.no_grad()
    def forward(self) -> None:
        """Run the model for inference."""
        self.model.eval()
        with self.setting.autocast():
            self.model(self.x)

    def loss(self) -> Tensor:
        """Run the model for training."""
        self.model.train()
        with self.setting.autocast():
            outs = self.model(self.x)
        outs = [outs] if isinstance(outs, Tensor) else outs
        return torch.stack([out.float().mean() for out in outs]).sum()

    def step(self) -> None:
        """Run a training step: forward, backward and the optimizer's."""
        self.optimizer.zero_grad()
        self.loss().backward()
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
