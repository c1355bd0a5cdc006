"""Pictures of a training, from its work dir."""

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.fileio import dump, load
from mmengine.logging import print_log
from mmengine.registry import DATASETS, RUNNERS, DefaultScope
from torch import Tensor

from mmvovnet.engine import dump_predictions, find_config, load_config
from mmvovnet.engine.newest import newest

from .plots import Curve, parse_scalars

# What coco_error_analysis.py forgives, one kind after another.
_KINDS = dict(
    C75='white',
    C50='lightgrey',
    Loc='tab:blue',
    Sim='tab:red',
    Oth='tab:green',
    BG='tab:purple',
    FN='tab:orange',
)


def read_curves(work_dir: str | Path) -> tuple[dict[str, Curve], ...]:
    """Read what was logged, also by a run that was interrupted and resumed.

    Args:
        work_dir (str | Path): Folder of the training.

    Returns:
        tuple: Losses of training and metrics of validation, each by name and
        iteration.

    Raises:
        FileNotFoundError: If nothing was logged.
    """
    logs = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    training, validation = parse_scalars(
        line for log in logs for line in log.read_text().splitlines()
    )
    if not training:
        raise FileNotFoundError(
            f"there are no curves in '{work_dir}': name the folder that a "
            'training wrote, with */vis_data/scalars.json in it'
        )
    return training, validation


def draw_curves(figure: Figure, work_dir: str | Path) -> None:
    """Draw the losses of training, and the metrics of validation."""
    axes = figure.subplots(1, 2)
    titles = ('training', 'validation')
    for ax, title, curves in zip(
        axes, titles, read_curves(work_dir), strict=True
    ):
        for name, curve in curves.items():
            ax.plot(*zip(*curve.items(), strict=True), '.-', label=name)
        ax.set(xlabel='iteration', title=title)
        ax.grid(alpha=0.3)
        if curves:
            ax.legend(fontsize='small')
    axes[0].set(yscale='log', ylabel='loss')
    axes[1].set_ylabel('metric (AP from 0 to 1, accuracy in %)')


def last_checkpoint(work_dir: str | Path) -> str:
    """Find the newest whole checkpoint in a work dir, as ``--resume`` does.

    ``last_checkpoint`` of a folder that was moved or copied names a file of
    the old place.

    Raises:
        FileNotFoundError: If there is none.
    """
    for template in ('epoch_{}.pth', 'iter_{}.pth'):
        if path := newest(work_dir, template):
            return str(path)
    raise FileNotFoundError(
        f"there is no whole checkpoint in '{work_dir}': name one by "
        '--checkpoint'
    )


def predict(
    work_dir: str | Path, out_dir: str | Path, checkpoint: str | None = None
) -> tuple[Config, list[dict[str, Any]]]:
    """Run the model of a work dir over its test images.

    Args:
        work_dir (str | Path): Folder of the training.
        out_dir (str | Path): Folder for ``predictions.pkl`` and, of a
            detector, ``results.bbox.json``.
        checkpoint (str, optional): Weights. Defaults to None, the last.

    Returns:
        tuple: The config, and a prediction per image.
    """
    cfg = load_config(find_config(work_dir), work_dir=str(out_dir))
    cfg.load_from = checkpoint or last_checkpoint(work_dir)
    cfg.resume = False
    detects = cfg.default_scope == 'mmdet'
    if detects:
        cfg.test_evaluator.outfile_prefix = str(Path(out_dir, 'results'))
    runner = RUNNERS.build(cfg)
    file = str(Path(out_dir, 'predictions.pkl'))
    dump_predictions(runner, file)
    runner.test()
    return cfg, load(file)


def confusion(
    cfg: Config, predictions: list[dict[str, Any]], score_thr: float = 0.3
) -> tuple[np.ndarray, list[str]]:
    """Count which class is taken for which.

    Args:
        cfg (Config): The config.
        predictions (list[dict]): What :func:`predict` returned.
        score_thr (float): Detections below it are left out. Defaults to 0.3.

    Returns:
        tuple: Counts, a row per class of the truth and a column per class of
        the prediction, and their names. Of a detector the last row and column
        are the background: what was found and is not there, or was missed.
    """
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        data = DATASETS.build(cfg.test_dataloader.dataset)
    classes = list(data.metainfo['classes'])
    if cfg.default_scope == 'mmdet':
        pairs = [
            pair
            for index, prediction in enumerate(predictions)
            for pair in _match(
                data.get_data_info(index)['instances'],
                prediction['pred_instances'],
                len(classes),
                score_thr,
            )
        ]
        classes.append('background')
    else:
        pairs = [
            (int(p['gt_label']), int(p['pred_label'])) for p in predictions
        ]
    counts = np.zeros((len(classes),) * 2, int)
    np.add.at(counts, tuple(np.array(pairs, int).reshape(-1, 2).T), 1)
    return counts, classes


def _match(
    instances: list[dict[str, Any]],
    found: dict[str, Tensor],
    background: int,
    score_thr: float,
) -> Iterator[tuple[int, int]]:
    """Labels of truth and detection, each object with one detection at most.

    MMDetection's own tool counts an object once for each detection that
    overlaps it, so that its rows hold more objects than there are.
    """
    from mmdet.structures.bbox import bbox_overlaps
    from scipy.optimize import linear_sum_assignment

    sure = found['scores'] >= score_thr
    boxes, labels = found['bboxes'][sure], found['labels'][sure]
    truth = torch.tensor([i['bbox'] for i in instances]).reshape(-1, 4)
    names = torch.tensor([i['bbox_label'] for i in instances]).long()
    overlaps = bbox_overlaps(truth.to(boxes), boxes)
    # A detection of the right class comes before one that overlaps more.
    worth = (overlaps + (names[:, None] == labels)) * (overlaps >= 0.5)
    pairs = [
        (i, j)
        for i, j in zip(*linear_sum_assignment(worth, True), strict=True)
        if overlaps[i, j] >= 0.5
    ]
    detection_of = dict(pairs)
    for i, instance in enumerate(instances):
        if not instance.get('ignore_flag'):
            j = detection_of.get(i)
            yield int(names[i]), background if j is None else int(labels[j])
    for j in set(range(len(labels))) - {j for _, j in pairs}:
        yield background, int(labels[j])


def draw_confusion(
    figure: Figure, counts: np.ndarray, classes: list[str]
) -> None:
    """Draw counts, coloured by their share of the row.

    What was found and is not there has no truth to be a share of: the row of
    the background is coloured by its share of all true objects. Lines set
    its row and column apart.
    """
    from sklearn.metrics import ConfusionMatrixDisplay

    ax = figure.subplots()
    rows = counts.sum(1, keepdims=True)
    if classes[-1] == 'background':
        rows[-1] = max(rows[:-1].sum(), rows[-1, 0])
        ax.axhline(len(classes) - 1.5, color='black', linewidth=0.8)
        ax.axvline(len(classes) - 1.5, color='black', linewidth=0.8)
    shares = np.divide(
        counts, rows, where=rows > 0, out=np.zeros_like(counts, float)
    )
    display = ConfusionMatrixDisplay(shares, display_labels=classes)
    display.plot(
        ax=ax,
        cmap='Blues',
        include_values=False,
        im_kw=dict(vmin=0, vmax=1),
    )
    for (i, j), count in np.ndenumerate(counts):
        if count:
            colour = 'white' if shares[i, j] > 0.5 else 'black'
            ax.text(j, i, str(count), ha='center', va='center', color=colour)
    display.im_.colorbar.set_label('share of the row')
    ax.set(xlabel='prediction', ylabel='truth')
    ax.tick_params('x', rotation=90 if max(map(len, classes)) > 2 else 0)


def analyze_errors(cfg: Config, out_dir: str | Path) -> Path | None:
    """Split a detector's errors into kinds, by MMDetection's own tool.

    The areas between precision-recall curves are what AP would gain without
    errors of a kind: C75 and C50 are the curves at an IoU of 0.75 and 0.5,
    Loc ignores inaccurate boxes, Sim and Oth confusion with classes of the
    same and other supercategories, BG boxes on the background, FN misses. Sim
    and Oth are left out where there are no such classes.

    Args:
        cfg (Config): The config.
        out_dir (str | Path): Where :func:`predict` wrote. The pictures, of
            each class too, go to its folder ``bbox``.

    Returns:
        Path | None: The picture of all classes, or None if nothing at all was
        detected.
    """
    out_dir = Path(out_dir)
    if not load(out_dir / 'results.bbox.json'):
        return None
    # Without an ann_file the metric writes the truth, which it then has from
    # the data set.
    truth = load(cfg.test_evaluator.ann_file or out_dir / 'results.gt.json')
    for category in truth['categories']:  # which the tool needs
        category.setdefault('supercategory', category['name'])
    annotations = out_dir / 'annotations.json'
    dump(truth, annotations)
    above = [category['supercategory'] for category in truth['categories']]
    left_out = {'Sim'} if len(set(above)) == len(above) else set()
    left_out |= {'Oth'} if len(set(above)) == 1 else set()
    tool = _mmdet_tool('coco_error_analysis')
    tool.makeplot = partial(_draw_errors, left_out=left_out)
    results = str(out_dir / 'results.bbox.json')
    with redirect_stdout(StringIO()):
        tool.analyze_results(results, str(annotations), ['bbox'], str(out_dir))
    return out_dir / 'bbox' / 'allclass.png'


def _draw_errors(
    recall: np.ndarray,
    precision: np.ndarray,
    out_dir: str,
    name: str,
    iou_type: str,
    left_out: set[str],
) -> None:
    """Draw in the place of the tool, whose legend lies on the curves.

    ``precision`` has the shape (7, recalls[, classes], areas, limits of
    detections); the first area is all, the first limit 100.
    """
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    ax = figure.subplots()
    below = np.zeros(len(recall))
    for kind, values in zip(_KINDS, precision[..., 0, 0], strict=True):
        if kind in left_out:
            continue
        curve = values.reshape(len(recall), -1).mean(1)
        label = f'{kind} {values.mean():.3f}'
        ax.fill_between(recall, below, curve, label=label, color=_KINDS[kind])
        ax.plot(recall, curve, color='black', linewidth=0.5)
        below = curve
    ax.set(xlabel='recall', ylabel='precision', xlim=(0, 1), ylim=(0, 1))
    ax.set_title(f'{iou_type}, {name}')
    figure.legend(loc='outside right upper', reverse=True)
    figure.savefig(Path(out_dir, f'{name.replace("/", "_")}.png'), dpi=120)


def _mmdet_tool(name: str) -> Any:
    import mmdet

    folder = Path(mmdet.__file__).parent / '.mim' / 'tools' / 'analysis_tools'
    spec: Any = spec_from_file_location(name, folder / f'{name}.py')
    tool = sys.modules[name] = module_from_spec(spec)  # its processes want it
    spec.loader.exec_module(tool)
    return tool


def report(
    work_dir: str | Path, out_dir: str | Path, checkpoint: str | None = None
) -> list[Path]:
    """Draw learning curves, confusion and, of a detector, kinds of errors.

    Args:
        work_dir (str | Path): Folder of a training by MMDetection or
            MMPretrain, with its config.
        out_dir (str | Path): Folder for the pictures, made if need be.
        checkpoint (str, optional): Weights. Defaults to None, the last.

    Returns:
        list[Path]: The pictures.

    Raises:
        FileNotFoundError: If the work dir has no curves or no config.
    """
    out_dir = Path(out_dir)
    find_config(work_dir)
    curves = Figure(figsize=(12, 5), layout='constrained')
    draw_curves(curves, work_dir)
    cfg, predictions = predict(work_dir, out_dir, checkpoint)
    confused = Figure(figsize=(7, 6), layout='constrained')
    draw_confusion(confused, *confusion(cfg, predictions))
    paths = [out_dir / 'curves.png', out_dir / 'confusion.png']
    for figure, path in zip((curves, confused), paths, strict=True):
        figure.savefig(path, dpi=120)
    if cfg.default_scope == 'mmdet':
        errors = analyze_errors(cfg, out_dir)
        if errors:
            paths.append(out_dir / 'errors.png')
            copyfile(errors, paths[-1])
        else:
            print_log('No object was detected: errors.png is left out.')
    return paths
