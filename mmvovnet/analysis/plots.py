"""Pictures of a training run."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

MAP = 'coco/bbox_mAP'
_TIMES = ('step', 'time', 'data_time')
# Bright ones, which photographs seldom have.
COLOURS = (
    'dodgerblue',
    'orange',
    'lime',
    'red',
    'violet',
    'yellow',
    'deeppink',
    'cyan',
    'springgreen',
    'coral',
)


Curve = dict[int, float]


def parse_scalars(
    lines: Iterable[str],
) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """Read the lines of ``vis_data/scalars.json``.

    Returns:
        Losses of training and metrics of validation, each by name and
        iteration. An evaluation stands at the iteration before it.
    """
    training: dict[str, Curve] = defaultdict(dict)
    validation: dict[str, Curve] = defaultdict(dict)
    step = 0
    for line in lines:
        scalars = json.loads(line)
        trains = 'lr' in scalars or 'loss' in scalars
        # The step of a validation is an epoch.
        step = scalars['step'] if trains else step
        for name, value in scalars.items():
            if trains and 'loss' in name:
                training[name][step] = value
            # COCO's -1 says that there are no such objects.
            if not trains and name not in _TIMES and value != -1:
                validation[name][step] = value
    return training, validation


def read_scalars(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read loss and COCO mAP from a run's ``vis_data/scalars.json``.

    Returns:
        Two arrays of shape (N, 2) of iteration and value: the losses, and
        the mAP in [0, 1] of each evaluation.
    """
    training, validation = parse_scalars(Path(path).read_text().splitlines())
    losses, scores = training['loss'], validation[MAP]
    return np.array([*losses.items()]), np.array([*scores.items()])


def plot_curves(
    losses: np.ndarray, scores: np.ndarray, out: str | os.PathLike
) -> None:
    """Plot what :func:`read_scalars` read into an image file."""
    figure = Figure(figsize=(8, 4.5), layout='constrained')
    left = figure.subplots()
    left.plot(*losses.T, color='tab:blue')
    left.set_xlabel('iteration')
    left.set_ylabel('training loss', color='tab:blue')
    left.set_ylim(bottom=0)
    left.grid(alpha=0.3)
    right = left.twinx()
    right.plot(*scores.T, 'o-', color='tab:red')
    right.set_ylabel('mAP on held-out images', color='tab:red')
    right.set_ylim(0, 1)
    for x, y in scores:
        right.annotate(
            f'{y:.2f}',
            (x, y),
            xytext=(0, 6),
            textcoords='offset points',
            ha='center',
            color='tab:red',
        )
    figure.savefig(out, dpi=120)


def plot_detections(
    images: Sequence[np.ndarray],
    truths: Sequence[tuple[np.ndarray, Sequence[str]]],
    detections: Sequence[tuple[np.ndarray, Sequence[str]]],
    out: str | os.PathLike,
) -> None:
    """Draw each image with its truth and, beside it, with its detections.

    Args:
        images: RGB images, uint8 of shape (H, W, 3).
        truths: Per image, boxes (N, 4) as x1, y1, x2, y2 in pixels and the
            N class names.
        detections: The same for the detections.
        out: Image file to write.
    """
    rows = -(-len(images) // 2)
    height, width = images[0].shape[:2]
    figure = Figure((13, 13 / 4 * rows * height / width + 0.4), dpi=110)
    axes = figure.subplots(rows, 4, squeeze=False).reshape(-1, 2)
    top = 1 - 0.4 / figure.get_figheight()
    figure.subplots_adjust(0.01, 0.01, 0.99, top, 0.03, 0.06)
    for ax in axes.flat:
        ax.axis('off')
    for ax, title in zip(
        axes[:2].flat, ('truth', 'detections') * 2, strict=True
    ):
        ax.set_title(title, pad=12)
    names = sorted({name for _, labels in truths for name in labels})
    colours = dict(zip(names, cycle(COLOURS), strict=False))
    for pair, image, *annotated in zip(
        axes, images, truths, detections, strict=False
    ):
        for ax, (boxes, labels) in zip(pair, annotated, strict=True):
            ax.imshow(image)
            _draw_boxes(ax, boxes, labels, colours)
    figure.savefig(out)


def draw_box(ax: Axes, box: Sequence[float], **style: Any) -> None:
    """Draw x1, y1, x2, y2 in pixels; ``style`` is that of a ``Rectangle``."""
    x1, y1, x2, y2 = box
    ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, **style))


def _draw_boxes(
    ax: Axes, boxes: np.ndarray, labels: Sequence[str], colours: dict
) -> None:
    for box, label in zip(boxes, labels, strict=True):
        colour = colours.get(label, 'white')
        draw_box(ax, box, color=colour)
        ax.text(
            box[0],
            box[1],
            label,
            fontsize=8,
            color='black',
            va='bottom',
            bbox=dict(facecolor=colour, edgecolor='none', pad=1),
        )
