"""What all rows share: images, precision and the machine."""

import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmvovnet.processor import has_bfloat16, processor


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
        channels_last (bool): Memory format.
        threads (int): CPU threads; 0 for torch's own choice.
    """

    batch: int = 8
    size: int | tuple[int, int] = 224
    device: str = 'cpu'
    precision: str = 'fp32'
    channels_last: bool = False
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
        x = x.to(self.device)
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
    text = f'{processor()[0]}, {os.cpu_count()} cores, '
    if setting.device.startswith('cuda'):
        text = f'{torch.cuda.get_device_name(setting.device)}, '
    else:
        text += f'{torch.get_num_threads()} threads, '
    text += (
        f'torch {torch.__version__}, {setting.precision}'
        f'{", channels_last" if setting.channels_last else ""}.'
    )
    if (
        setting.device == 'cpu'
        and setting.precision != 'fp32'
        and not has_bfloat16()
    ):
        text += (
            ' This CPU has no bfloat16 arithmetic: it is emulated, and slower '
            'than fp32.'
        )
    return text
