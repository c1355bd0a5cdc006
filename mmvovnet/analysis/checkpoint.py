"""Diagnosis of a checkpoint in a model, for a mAP of 0."""

from dataclasses import dataclass, field
from typing import cast

import mmcv
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import mmvovnet.engine.schemes  # noqa: F401 - its loaders
from mmvovnet.models import VoVNet
from mmvovnet.tasks import model_of
from mmvovnet.weights.adapter import summary
from mmvovnet.weights.dialects import Pixels
from mmvovnet.weights.pixels import given_pixels


@dataclass
class Report:
    """What was found, and what of it is wrong."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        wrong = [f'wrong: {problem}' for problem in self.problems]
        return '\n'.join(self.lines + (wrong or ['nothing is wrong']))


def diagnose(cfg: Config, file: str, image: str | None = None) -> Report:
    """Load a checkpoint into a config's model, and report what it does there.

    Args:
        cfg (Config): A config, with a ``model`` that has a VoVNet.
        file (str): A checkpoint, as in ``load_from``.
        image (str, optional): An image file for the activations. Defaults to
            None, smooth noise.

    Raises:
        ValueError: If the model has no VoVNet.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = MODELS.build(model_of(cfg))
    backbones = [m for m in model.modules() if isinstance(m, VoVNet)]
    if not backbones:
        raise ValueError('the model of this config has no VoVNet')
    report = Report()
    if not _load(report, model, file):
        return report
    given, expected = given_pixels(model), backbones[0].pixels or ()
    names = ', or else '.join(map(str, expected))
    report.lines += [
        f'images given: {given}',
        f'images expected: {names or "names of mmvovnet do not say"}',
    ]
    if expected and given not in expected:
        report.problems.append(
            'the weights expect other images than the model gets: see '
            'data_preprocessor'
        )
    _look_at_activations(report, backbones[0], _batch(image, given))
    return report


def _load(report: Report, model: nn.Module, file: str) -> bool:
    weights = [n for n in model.state_dict() if 'num_batches' not in n]
    try:
        checkpoint = CheckpointLoader.load_checkpoint(file, 'cpu', 'silent')
        state = checkpoint.get('state_dict', checkpoint)
        missing, unused = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # CheckpointError is one
        report.problems.append(str(error))
        return False
    used = set(weights) - set(missing)
    report.lines += [
        f'used: {len(used)} of the {len(weights)} weights of the model',
        f'missing: {summary(missing) or "nothing"}',
        f'left out: {summary(unused) or "nothing"}',
    ]
    if not used:
        report.problems.append(
            f'nothing of the file fits: it has {summary(list(state)[:8])}, '
            f'and the model {summary(weights[:8])}'
        )
    elif lost := [n for n in missing if '.stages.' in n or '.stem.' in n]:
        report.problems.append(f'the backbone lacks {summary(lost)}')
    return bool(used)


@torch.no_grad()
def _look_at_activations(report: Report, backbone: VoVNet, x: Tensor) -> None:
    """By part: the size of its output, and of the input of its norms."""
    ratios: list[Tensor] = []

    def note(norm: _BatchNorm, inputs: tuple[Tensor]) -> None:
        expected = cast(Tensor, norm.running_var).clamp(min=1e-12)
        ratios.append((inputs[0].var((0, 2, 3)) / expected).sqrt().median())

    backbone.eval()
    for m in backbone.modules():
        if isinstance(m, _BatchNorm) and m.running_var is not None:
            m.register_forward_pre_hook(note)
    parts: list[tuple[str, nn.Module]] = [('stem', backbone.stem)]
    parts += [(f'stage {i}', s) for i, s in enumerate(backbone.stages)]
    for name, part in parts:
        ratios.clear()
        x = part(x)
        line = f'{name}: mean {x.mean():.3g}, deviation {x.std():.3g}, '
        line += f'largest {x.abs().max():.3g}'
        if ratios:
            ratio = float(torch.stack(ratios).median())
            line += f'; norms get {ratio:.2g} times the deviation they learned'
            if not 0.1 < ratio < 10:  # wrong pixels are far outside
                report.problems.append(
                    f'{name} gets values {ratio:.2g} times as large as in '
                    'training: other pixels, or other weights before it'
                )
        report.lines.append(line)
        if not x.isfinite().all():
            report.problems.append(f'{name} puts out NaN or infinite values')


def _batch(path: str | None, given: Pixels) -> Tensor:
    """An image, or else noise, as the model gets it."""
    x = _smooth_noise()
    if path is not None:
        image = mmcv.imread(path)
        if image is None:
            raise ValueError(f"'{path}' is not an image that OpenCV can read")
        x = torch.from_numpy(image).permute(2, 0, 1)[None]
    x = x.flip(1) if given.order == 'RGB' else x
    mean, std = (torch.tensor(v)[:, None, None] for v in given[1:])
    return (x - mean) / std


def _smooth_noise(size: int = 256) -> Tensor:
    """An image as (1, 3, size, size) of 0 to 255, BGR."""
    generator = torch.Generator().manual_seed(0)
    image = torch.zeros(1, 3, size, size)
    for cells in (4, 16, 64):
        noise = torch.randn(1, 3, cells, cells, generator=generator)
        image += F.interpolate(noise, (size, size), mode='bilinear') / cells
    return (118 + 240 * image).clamp(0, 255)
