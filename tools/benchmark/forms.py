"""Backbones in the forms that are for inference alone."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch._inductor.config
from torch import Tensor, nn

from mmvovnet.deploy import (
    SUFFIXES,
    accelerate,
    export,
    fuse,
    load_exported,
)

from .rows import INFERENCE_MODES


def prepare(model: nn.Module, row: str, images: Tensor) -> nn.Module:
    """Put a model in the form that a row's inference modes name.

    Args:
        model (nn.Module): The model; it may be changed.
        row (str): The row.
        images (Tensor): A batch, by which the model is quantized.

    Returns:
        nn.Module: The model in that form, in eval mode; itself without such
        modes.

    Raises:
        ValueError: If int8 is asked of what is no file.
    """
    modes = row.split('+')[1:]
    if not set(modes) & set(INFERENCE_MODES):
        return model
    model.eval()
    if 'fuse' in modes:
        model = fuse(model)
    if 'accelerate' in modes:
        model = accelerate(model)
    for form in {'onnx', 'openvino'} & set(modes):
        calibration = [images] if 'int8' in modes else None
        return _File(model, form, calibration, 'bf16' in modes)
    if 'int8' in modes:
        raise ValueError(
            f'row {row!r}: int8 is for the modes onnx and openvino'
        )
    if 'bf16' in modes:
        model = _Bfloat16(model)
    if 'freeze' in modes:
        model = _Frozen(model)
    if 'autotune' in modes:
        model = _Frozen(model, mode='max-autotune')
    return model


class _Bfloat16(nn.Module):
    """A model in bfloat16, of images in float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.bfloat16()

    def forward(self, x: Tensor) -> Any:
        return self.model(x.bfloat16())


class _Frozen(nn.Module):
    """A model compiled with its weights as constants."""

    def __init__(self, model: nn.Module, **options: Any) -> None:
        super().__init__()
        self.run = torch.compile(model, **options)

    def forward(self, x: Tensor) -> Any:
        # As an option of torch.compile this has no effect on a module.
        with torch._inductor.config.patch(freezing=True):
            return self.run(x)


class _File(nn.Module):
    """A model run from the file that it is exported to."""

    def __init__(
        self,
        model: nn.Module,
        form: str,
        calibration: list[Tensor] | None,
        bfloat16: bool,
    ) -> None:
        super().__init__()
        with TemporaryDirectory() as folder:
            path = Path(folder, f'model{SUFFIXES[form]}')
            export(model, path, form, 'raw', calibration=calibration)
            self.run = load_exported(path, bfloat16)

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.run(x).values())
