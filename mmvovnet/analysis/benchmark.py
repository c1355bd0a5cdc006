"""Models measured side by side, on the machine at hand.

A row names a model and the modes that it runs in, as ``SOURCE:MODEL+MODE``::

    V-39                            ours
    V-39+memory_efficient           ours, an option of VoVNet set to True
    timm:vovnet39a+checkpoint       timm's, with its gradient checkpointing
    mmvovnet:PeleeNet               another backbone of ours
    torchvision:densenet121+compile
    V-39+fuse                       for inference: mmvovnet.deploy.fuse
    V-39+accelerate                 and mmvovnet.deploy.accelerate
    V-39+fuse+freeze                compiled as well, with frozen weights
    V-39+onnx, V-39+openvino        for inference: exported files

All rows take turns, so that a change of the machine's speed meets them all.
"""

import ctypes
import gc
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch._inductor.config
from torch import Tensor, nn

from mmvovnet.models import VoVNet
from mmvovnet.registry import MODELS

from .cost import Cost, count_cost, saved_bytes

# Options of VoVNet that a row may set to True.
OPTIONS = ('memory_efficient', 'with_cp', 'bottleneck')
MODES = (*OPTIONS, 'checkpoint', 'compile')
INFERENCE_MODES = ('fuse', 'accelerate', 'freeze', 'onnx', 'openvino')


def _mmpretrain(name: str) -> nn.Module:
    from mmpretrain.models import backbones

    kind, _, depth = name.partition('-')
    return getattr(backbones, kind)(**({'depth': int(depth)} if depth else {}))


def _timm(name: str) -> nn.Module:
    import timm

    return timm.create_model(name, features_only=True)


def _torchvision(name: str) -> nn.Module:
    import torchvision

    model = torchvision.models.get_model(name)
    return getattr(model, 'features', model)


def _registered(name: str) -> nn.Module:
    return MODELS.build(dict(type=f'mmvovnet.{name}'))


# Where models come from: a function of a name that builds the backbone.
SOURCES: dict[str, Callable[..., nn.Module]] = {
    '': VoVNet,
    'mmvovnet': _registered,
    'timm': _timm,
    'mmpretrain': _mmpretrain,
    'torchvision': _torchvision,
}

ROWS = (
    *VoVNet.arch_settings,
    'V-39+memory_efficient',
    'V-39+with_cp',
    'V-39+compile',
    'V-39-eSE+memory_efficient',
    'timm:vovnet39a',
    'timm:vovnet39a+checkpoint',
    'timm:vovnet57a',
    'timm:ese_vovnet19b_dw',
    'timm:ese_vovnet39b',
    'timm:ese_vovnet57b',
    'timm:ese_vovnet99b',
    'mmpretrain:ResNet-50',
    'mmpretrain:ResNet-101',
    'mmpretrain:MobileNetV2',
    'mmpretrain:ShuffleNetV2',
    'torchvision:densenet121',
    'torchvision:densenet161',
    'torchvision:densenet201',
    'mmvovnet:PeleeNet',
    'mmvovnet:DSODDenseNet',
)
QUICK_ROWS = (
    'V-39',
    'V-39+memory_efficient',
    'V-39+with_cp',
    'timm:vovnet39a',
    'timm:vovnet39a+checkpoint',
    'mmpretrain:ResNet-50',
    'torchvision:densenet121',
)


@dataclass
class Setting:
    """What all rows share.

    Attributes:
        batch (int): Images per batch.
        size (int): Height and width of an image.
        device (str): Device.
        precision (str): 'fp32', 'amp' (autocast: fp16 on CUDA, bf16 on CPU)
            or 'bf16' (autocast).
        channels_last (bool): Memory format.
        threads (int): CPU threads; 0 for torch's own choice.
    """

    batch: int = 8
    size: int = 224
    device: str = 'cpu'
    precision: str = 'fp32'
    channels_last: bool = False
    threads: int = 0

    def images(self) -> Tensor:
        """Make a batch, the same every time."""
        generator = torch.Generator().manual_seed(0)
        shape = (self.batch, 3, self.size, self.size)
        x = torch.rand(shape, generator=generator).to(self.device)
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        return x

    def autocast(self) -> Any:
        """Return the context that gives the precision."""
        if self.precision == 'fp32':
            return nullcontext()
        device = self.device.partition(':')[0]
        half = device == 'cuda' and self.precision == 'amp'
        dtype = torch.float16 if half else torch.bfloat16
        return torch.autocast(device, dtype)


@dataclass
class Result:
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
            'forward ms': _spread(self.forward_ms),
            'images/s': f'{images:.1f}',
            'GMAC/s': f'{images * self.cost.macs / 1e9:.0f}',
            'step ms': _spread(self.step_ms),
            'saved MB': _number(self.saved_mb, 1),
            'peak MB': _number(self.peak_mb, 0),
            'J/image': _number(self.joules, 3),
        }


def _number(value: float | None, digits: int) -> str:
    return '-' if value is None else f'{value:.{digits}f}'


def _spread(times: list[float]) -> str:
    # The median, and half of the range that holds the middle half.
    if not times:
        return '-'
    if len(times) < 2:
        return f'{times[0]:.1f}'
    low, middle, high = statistics.quantiles(times, n=4, method='inclusive')
    return f'{middle:.1f} ± {(high - low) / 2:.1f}'


def build(row: str) -> nn.Module:
    """Build the model that a row names.

    Args:
        row (str): ``SOURCE:MODEL+MODE``, all but the model optional.

    Returns:
        nn.Module: The backbone, in training mode.

    Raises:
        ValueError: If the source or the mode is unknown.

    Example:
        >>> build('V-39+memory_efficient').memory_efficient
        True
    """
    name, *modes = row.split('+')
    source, _, name = name.rpartition(':')
    if source not in SOURCES:
        raise ValueError(
            f'unknown source {source!r} in row {row!r}; '
            f'choose one of {[s for s in SOURCES if s]}, or none for ours'
        )
    options = {m: True for m in modes if m in OPTIONS}
    known = MODES + INFERENCE_MODES
    unknown = [mode for mode in modes if mode not in known]
    if unknown or (options and source):
        raise ValueError(
            f'row {row!r} has modes that {source or "VoVNet"} does not have; '
            f'modes are {known}, the first {len(OPTIONS)} for ours only'
        )
    model = SOURCES[source](name, **options)
    if 'checkpoint' in modes:
        model.set_grad_checkpointing()
    if 'compile' in modes:
        model.compile()
    model.train()  # mmpretrain's returns nothing
    return model


def deploy(model: nn.Module, row: str) -> nn.Module:
    """Put a model in the form that a row's inference modes name.

    Args:
        model (nn.Module): The model; it may be changed.
        row (str): The row.

    Returns:
        nn.Module: The model in that form, in eval mode; itself without such
        modes.
    """
    from mmvovnet.deploy import accelerate, fuse

    modes = row.split('+')[1:]
    if not set(modes) & set(INFERENCE_MODES):
        return model
    model.eval()
    if 'fuse' in modes:
        model = fuse(model)
    if 'accelerate' in modes:
        model = accelerate(model)
    if 'freeze' in modes:
        model = _Frozen(model)
    for form in {'onnx', 'openvino'} & set(modes):
        model = _File(model, form)
    return model


class _Frozen(nn.Module):
    """A model compiled with its weights as constants."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.run = torch.compile(model)

    def forward(self, x: Tensor) -> Any:
        # As an option of torch.compile this has no effect on a module.
        with torch._inductor.config.patch(freezing=True):
            return self.run(x)


class _File(nn.Module):
    """A model run from the file that it is exported to."""

    def __init__(self, model: nn.Module, form: str) -> None:
        from mmvovnet.deploy import export, load
        from mmvovnet.deploy.runtime import SUFFIXES

        super().__init__()
        with TemporaryDirectory() as folder:
            path = Path(folder, f'model{SUFFIXES[form]}')
            export(model, path, form)
            self.run = load(path)

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.run(x).values())


class Subject:
    """A row's model, ready to run.

    Args:
        row (str): The row.
        setting (Setting): What all rows share.
    """

    def __init__(self, row: str, setting: Setting) -> None:
        self.setting = setting
        model = build(row).to(setting.device)
        if setting.channels_last:
            model.to(memory_format=torch.channels_last)
        self.x = setting.images()
        cost = count_cost(model, (3, setting.size, setting.size))
        self.model = deploy(model, row)
        self.result = Result(row, setting, cost)

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


def _milliseconds(function: Callable[[], None], device: str) -> float:
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


def _status_mb(key: str) -> float:
    text = Path('/proc/self/status').read_text()
    return int(re.search(rf'{key}:\s+(\d+) kB', text)[1]) / 1e3


def _process_peak(row: str, setting: Setting) -> float | None:
    if not Path('/proc/self/status').exists():
        return None
    # Freed tensors go back to the system at once. glibc would keep them, and
    # measured would be how well it fills the gaps. -3 is M_MMAP_THRESHOLD.
    ctypes.CDLL(None).mallopt(-3, 1_000_000)
    if setting.threads:
        torch.set_num_threads(setting.threads)
    subject = Subject(row, setting)
    # What is imported and set up on first use is not counted.
    images, subject.x = subject.x, subject.x[:1, :, :64, :64]
    subject.step()
    subject.model.zero_grad()
    subject.x = images
    gc.collect()
    before = _status_mb('VmRSS')
    subject.step()
    return _status_mb('VmHWM') - before


def peak_memory(row: str, setting: Setting) -> float | None:
    """Measure the most memory that a training step takes, in MB.

    The model and the batch are not counted, gradients of the parameters are.
    On CUDA the allocator knows; on CPU the resident set of a fresh process is
    read, for one that has run before has memory to give out already.

    Args:
        row (str): The row.
        setting (Setting): What all rows share.

    Returns:
        float | None: MB; None on a CPU of a system without ``/proc``.
    """
    if setting.device.startswith('cuda'):
        subject = Subject(row, setting)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        subject.step()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with ProcessPoolExecutor(1, get_context('spawn')) as pool:
        return pool.submit(_process_peak, row, setting).result()


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


def _joules(subject: Subject, seconds: float = 2.0) -> float | None:
    meter = energy_meter(subject.setting.device)
    if meter is None:
        return None
    images, before = 0, meter()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        _milliseconds(subject.forward, subject.setting.device)
        images += subject.setting.batch
    used = meter() - before
    return used / images if used > 0 else None  # RAPL's counter wraps


def measure(
    rows: Sequence[str],
    setting: Setting,
    rounds: int = 5,
    training: bool = True,
) -> list[Result]:
    """Measure rows side by side.

    Args:
        rows (Sequence[str]): The rows.
        setting (Setting): What they share.
        rounds (int): Times that each row is timed, all rows taking turns,
            after one round of warm-up. Defaults to 5.
        training (bool): Measure training, too. Defaults to True.

    Returns:
        list[Result]: One result per row.

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
        subject.result.joules = _joules(subject)
        if training and 'compile' not in subject.result.row:
            subject.model.train()
            with setting.autocast():
                saved = saved_bytes(subject.model, subject.x)
            subject.result.saved_mb = saved / 1e6
    for i in range(rounds + 1):
        for subject in subjects:
            times = [_milliseconds(subject.forward, setting.device)]
            if training:
                times.append(_milliseconds(subject.step, setting.device))
                subject.model.zero_grad()
            if i:  # the first is the warm-up
                subject.result.forward_ms.append(times[0])
                subject.result.step_ms += times[1:]
    return [subject.result for subject in subjects]


def scaling(setting: Setting) -> Iterator[Setting]:
    """Vary a setting's batch, size and threads, one at a time.

    Args:
        setting (Setting): Where to start.

    Yields:
        Setting: One setting after the other.
    """
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
    """Describe what the figures hold for, in a sentence or two.

    Args:
        setting (Setting): What the rows share.

    Returns:
        str: The text, with a warning where the precision has no hardware.
    """
    info, flags = platform.processor() or platform.machine(), ''
    if Path('/proc/cpuinfo').exists():
        text = Path('/proc/cpuinfo').read_text()
        names = re.findall(r'model name\s*: (.*)', text)
        info = names[0] if names else info
        flags = ''.join(re.findall(r'(?:flags|Features)\s*: (.*)', text)[:1])
    text = f'{info}, {os.cpu_count()} cores, '
    if setting.device.startswith('cuda'):
        text = f'{torch.cuda.get_device_name(setting.device)}, '
    else:
        text += f'{torch.get_num_threads()} threads, '
    text += (
        f'torch {torch.__version__}, {setting.precision}'
        f'{", channels_last" if setting.channels_last else ""}.'
    )
    native = {'avx512_bf16', 'amx_bf16', 'bf16'} & set(flags.split())
    if setting.device == 'cpu' and setting.precision != 'fp32' and not native:
        text += (
            ' This CPU has no bfloat16 arithmetic: it is emulated, and slower '
            'than fp32.'
        )
    return text


def markdown(results: Sequence[Result]) -> str:
    """Write results as a Markdown table."""
    rows = [result.columns() for result in results]
    lines = [list(rows[0]), ['---'] + ['--:'] * (len(rows[0]) - 1)]
    lines += [list(row.values()) for row in rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'


def plot(results: Sequence[Result], path: Path) -> None:
    """Draw time against memory access, and training time against memory.

    Args:
        results (Sequence[Result]): What was measured.
        path (Path): The PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout='constrained')
    left, right = figure.subplots(1, 2)
    left.set(xlabel='memory access (Eq. 1), M values', ylabel='forward, ms')
    right.set(xlabel='saved for backward, MB', ylabel='training step, ms')
    for r in results:
        points = [(left, r.cost.memory_access / 1e6, r.forward_ms)]
        if r.saved_mb and r.step_ms:
            points.append((right, r.saved_mb, r.step_ms))
        for axes, x, times in points:
            y = statistics.median(times)
            axes.scatter(x, y, color='C1' if ':' in r.row else 'C0')
            axes.annotate(r.row, (x, y), fontsize=7)
    figure.savefig(path, dpi=150)
