"""Backbones in the forms that are for inference alone."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch._inductor.config
from torch import Tensor, nn

from mmvovnet.deploy import accelerate, export, fuse, load_exported
from mmvovnet.deploy.runtime import SUFFIXES

from .rows import INFERENCE_MODES


def prepare(model: nn.Module, row: str) -> nn.Module:
    """Put a model in the form that a row's inference modes name.

    Args:
        model (nn.Module): The model; it may be changed.
        row (str): The row.

    Returns:
        nn.Module: The model in that form, in eval mode; itself without such
        modes.
    """
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
        super().__init__()
        with TemporaryDirectory() as folder:
            path = Path(folder, f'model{SUFFIXES[form]}')
            export(model, path, form)
            self.run = load_exported(path)

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.run(x).values())
