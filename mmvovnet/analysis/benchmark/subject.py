"""A row's model, and what was found about it."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

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
    joules: float | None = None

    def columns(self) -> dict[str, str]:
        """Give the row of the table, by column."""
        seconds = statistics.median(self.forward_ms) / 1e3
        images = self.setting.batch / seconds
        return {
            'model': self.row,
            'batch': str(self.setting.batch),
            'size': str(self.setting.size),
            'threads': str(self.setting.threads),
            'params M': f'{self.cost.parameters / 1e6:.2f}',
            'GMACs': f'{self.cost.macs / 1e9:.2f}',
            'activations M': f'{self.cost.activations / 1e6:.2f}',
            'memory access M': f'{self.cost.memory_access / 1e6:.2f}',
            'forward ms': _quartiles(self.forward_ms),
            'images/s': f'{images:.1f}',
            'GMAC/s': f'{images * self.cost.macs / 1e9:.0f}',
            'step ms': _quartiles(self.step_ms),
            'saved MB': _number(self.saved_mb, 1),
            'peak MB': _number(self.peak_mb, 0),
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
        cost = count_cost(model, (3, setting.size, setting.size))
        self.model = prepare(model, row)
        self.result = Measurement(row, setting, cost)

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
        """Run a training step, without the optimizer."""
        self.model.zero_grad()
        self.loss().backward()


def milliseconds(function: Callable[[], None], device: str) -> float:
    """Time a function, on CUDA by the device's own clock."""
    if device.startswith('cuda'):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        end.synchronize()
        return start.elapsed_time(end)
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3
