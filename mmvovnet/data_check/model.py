"""Checks of a config before its first iteration."""

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import nn

from .report import ERROR, WARNING, Report

# RPN tells objects from background; semantic heads have classes of their own.
_OTHER_CLASSES = re.compile('rpn|semantic|backbone|teacher')


def check_settings(cfg: Mapping[str, Any], report: Report) -> None:
    """Look at numbers that no training can work with.

    Args:
        cfg (Mapping): The config.
        report (Report): Gets what is found.
    """
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    rate = optimizer.get('lr')
    if rate is not None and not (_is_number(rate) and 0 < rate < 100):
        report.add(
            ERROR,
            'optim_wrapper.optimizer.lr',
            f'is {rate!r}, and no rate to learn by; usual are 1e-5 to 1',
        )
    interval = (cfg.get('train_cfg') or {}).get('val_interval', 1)
    if not (isinstance(interval, int) and interval > 0):
        report.add(
            ERROR,
            'train_cfg.val_interval',
            f'is {interval!r} and must be a whole number above 0; '
            '--no-validate (val_cfg = val_dataloader = val_evaluator = None) '
            'leaves validation out',
        )
    most = 32 * (os.cpu_count() or 1)
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader') or {}
        workers = loader.get('num_workers', 0)
        report.add(
            ERROR,
            f'{split}_dataloader.persistent_workers',
            'is True, and there are no workers to keep: set False where '
            'num_workers is 0',
            count=int(not workers and bool(loader.get('persistent_workers'))),
        )
        if not isinstance(workers, int) or not 0 <= workers <= most:
            report.add(
                ERROR,
                f'{split}_dataloader.num_workers',
                f'is {workers!r}; each is a process, and this machine has '
                f'{os.cpu_count()} cores',
            )
    model = cfg.get('model') or {}
    pixels = model.get('data_preprocessor') or cfg.get('data_preprocessor')
    for name in ('mean', 'std'):
        values = (pixels or {}).get(name) or ()
        report.add(
            ERROR,
            f'model.data_preprocessor.{name}',
            f'has {len(values)} values, and mmengine takes 1 or 3: leave mean '
            'and std out, and put dict(type="Normalize", mean=[...], '
            'std=[...], to_rgb=False) after the loading in each pipeline',
            count=int(len(values) not in (0, 1, 3)),
        )
        for value in values:
            if not (_is_number(value) and (name == 'mean' or value > 0)):
                report.add(
                    ERROR,
                    f'model.data_preprocessor.{name}',
                    f'has {value!r}: NaN and infinity, and a std of 0, make '
                    'every loss NaN',
                )


def check_classes(
    cfg: Mapping[str, Any], classes: Sequence[str], report: Report
) -> None:
    """Compare ``num_classes`` of the heads with the data's.

    Args:
        cfg (Mapping): The config.
        classes (Sequence[str]): Of the training data.
        report (Report): Gets what is found.
    """
    # The Runner gives the model the preprocessor that stands outside it.
    outer = dict(data_preprocessor=cfg.get('data_preprocessor') or {})
    for key, number in _heads(outer | (cfg.get('model') or {})):
        if not (isinstance(number, int) and number > 0):
            report.add(
                ERROR, key, f'is {number!r} and must be a number above 0'
            )
        elif number != len(classes):
            fewer = number < len(classes) or 'data_preprocessor' in key
            report.add(
                ERROR if fewer else WARNING,
                key,
                f'is {number}, and the data has {len(classes)} classes: '
                + (
                    f'set {len(classes)}'
                    if fewer
                    else f'{number - len(classes)} are never trained'
                ),
            )


def check_shapes(
    cfg: Mapping[str, Any], report: Report, side: int = 256
) -> list[float]:
    """Send the shape of an image through backbone and neck.

    Nothing is computed, and no memory is taken: the model is built on
    PyTorch's meta device.

    Args:
        cfg (Mapping): The config.
        report (Report): Gets what does not fit.
        side (int): Of the image, in pixels. Defaults to 256.

    Returns:
        list[float]: Strides of the maps that the head gets; empty where they
        cannot be told.
    """
    model = cfg.get('model') or {}
    if not {'backbone', 'neck'} <= model.keys():
        return []
    parts = {}
    for name in ('backbone', 'neck'):
        try:
            with torch.device('meta'):
                parts[name] = MODELS.build(model[name])
        except Exception as error:  # whatever its options make it raise
            if not isinstance(error, NotImplementedError):
                report.add(ERROR, f'model.{name}', f'cannot be built: {error}')
            return []
    channels = getattr(parts['backbone'], 'in_channels', 3)
    maps = _forward(
        parts['backbone'],
        torch.empty(
            1,
            channels if isinstance(channels, int) else 3,
            side,
            side,
            device='meta',
        ),
    )
    if maps is None:
        return []
    given = [m.shape[1] for m in maps]
    wanted = model['neck'].get('in_channels')
    if isinstance(wanted, int):
        wanted = [wanted] * len(given)
    if wanted is not None and list(wanted) != given:
        report.add(
            ERROR,
            'model.neck.in_channels',
            f'is {list(wanted)}, and the backbone puts out {len(given)} maps '
            f'of {given} channels (out_indices): set {given}',
        )
        return []
    maps = _forward(parts['neck'], maps)
    if maps is None:
        return []
    strides = [side / m.shape[-1] for m in maps]
    for name in ('bbox_head', 'rpn_head'):
        _check_strides(name, model.get(name) or {}, strides, report)
    return strides


def _check_strides(
    name: str, head: Mapping[str, Any], strides: list[float], report: Report
) -> None:
    generator = head.get('anchor_generator') or {}
    for key, given in (
        ('strides', head.get('strides')),
        ('anchor_generator.strides', generator.get('strides')),
    ):
        if given is None:
            continue
        flat = [s[0] if isinstance(s, Sequence) else s for s in given]
        wrong = len(flat) != len(strides) or any(
            not 0.8 < a / b < 1.25 for a, b in zip(flat, strides, strict=True)
        )
        if wrong:
            whole = [round(stride) for stride in strides]
            report.add(
                ERROR,
                f'model.{name}.{key}',
                f'are {flat}, and the neck puts out {len(strides)} maps of '
                f'strides {whole}: set {whole}',
            )


def _heads(node: Any, path: str = 'model') -> Iterator[tuple[str, Any]]:
    """Keys and values of num_classes that the data decides."""
    if isinstance(node, list | tuple):
        for index, item in enumerate(node):
            yield from _heads(item, f'{path}[{index}]')
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if key == 'num_classes':
                yield f'{path}.{key}', value
            elif not _OTHER_CLASSES.search(key):
                yield from _heads(value, f'{path}.{key}')


def _forward(part: nn.Module, x: Any) -> Sequence[torch.Tensor] | None:
    """Maps of a part; None where it has operations without shapes."""
    try:
        with torch.no_grad():
            maps = part.eval()(x)
    except Exception:  # mmcv's compiled ops know no meta tensors
        return None
    whole = isinstance(maps, Sequence) and all(
        isinstance(m, torch.Tensor) and m.dim() == 4 for m in maps
    )
    return maps if whole else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
