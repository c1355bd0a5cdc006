"""Checks of a model's config against the data and against its own parts."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.registry import MODELS

from mmvovnet.tasks import dicts, dotted, get

from .report import ERROR, WARNING, Report

# RPN separates objects from background; semantic heads have other classes.
_OTHER_CLASSES = re.compile('rpn|semantic|backbone|teacher')


def check_classes(
    model: dict[str, Any], classes: Sequence[str], report: Report
) -> None:
    """Compare ``num_classes`` of the heads with the classes of the data."""
    for path, node in dicts(model, ('model',)):
        key = dotted((*path, 'num_classes'))
        if 'num_classes' not in node or _OTHER_CLASSES.search(key):
            continue
        number = node['num_classes']
        if not (isinstance(number, int) and number > 0):
            what = f'is {number!r} and must be a number above 0'
            report.add(ERROR, key, what)
        elif number != len(classes):
            fewer = number < len(classes) or 'data_preprocessor' in key
            remedy = (
                f'set {len(classes)}'
                if fewer
                else f'{number - len(classes)} are never trained'
            )
            what = f'is {number}, and the data has {len(classes)} classes: '
            report.add(ERROR if fewer else WARNING, key, what + remedy)


def check_shapes(model: dict[str, Any], report: Report, side: int) -> None:
    """Compare ``in_channels`` of the neck, and the strides of the heads.

    Backbone and neck run on PyTorch's meta device, where nothing is computed.
    """
    try:
        with torch.device('meta'), torch.no_grad():
            backbone, neck = (
                MODELS.build(model[key]).eval() for key in ('backbone', 'neck')
            )
            channels = model['backbone'].get('in_channels', 3)
            maps = backbone(torch.empty(1, channels, side, side))
            given = [m.shape[1] for m in maps]
            wanted: Any = model['neck'].get('in_channels', given)
            if isinstance(wanted, int):
                wanted = [wanted] * len(given)
            if list(wanted) != given:
                report.add(
                    ERROR,
                    'model.neck.in_channels',
                    f'is {list(wanted)}, and the backbone puts out '
                    f'{len(given)} maps of {given} channels (out_indices): '
                    f'set {given}',
                )
                return
            strides = [side / m.shape[3] for m in neck(maps)]
    except Exception:  # mmcv's compiled ops know no meta tensors, among others
        return
    whole = [round(stride) for stride in strides]
    for path in (
        'bbox_head.strides',
        'bbox_head.anchor_generator.strides',
        'rpn_head.anchor_generator.strides',
    ):
        said = get(model, tuple(path.split('.')))
        if not isinstance(said, Sequence):
            continue
        flat = [s[0] if isinstance(s, Sequence) else s for s in said]
        pairs = zip(flat, strides, strict=False)
        near = all(0.8 < a / b < 1.25 for a, b in pairs)
        if flat and (len(flat) != len(strides) or not near):
            report.add(
                ERROR,
                f'model.{path}',
                f'are {flat}, and the neck puts out {len(strides)} maps '
                f'of strides {whole}: set {whole}',
            )
