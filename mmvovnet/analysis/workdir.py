"""Pictures of a training, from its work dir."""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from multiprocessing import Pool
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

from mmvovnet.deploy.inference.coco import coco_form
from mmvovnet.engine import find_config, load_config
from mmvovnet.engine.newest import newest
from mmvovnet.tasks import require

Curve = dict[int, float]
LIBRARIES = ('mmdet', 'mmpretrain')
# What coco_error_analysis.py forgives, one kind after another. Its Sim and
# Oth, classes of the same and of other supercategories, are one here.
_KINDS = dict(
    C75='white',
    C50='lightgrey',
    Loc='tab:blue',
    Sim=None,
    Cls='tab:green',
    BG='tab:purple',
    FN='tab:orange',
)


def read_curves(
    work_dir: str | Path,
) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """Read what a training logged, also if it was interrupted and resumed.

    Returns:
        tuple: Losses of training and metrics of validation, each by name and
        iteration. A validation has the iteration before it.

    Raises:
        FileNotFoundError: If nothing was logged.
    """
    training: dict[str, Curve] = defaultdict(dict)
    validation: dict[str, Curve] = defaultdict(dict)
    step = 0
    for log in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for scalars in map(json.loads, log.read_text().splitlines()):
            trains = 'lr' in scalars or 'loss' in scalars
            # A validation counts epochs as its steps.
            step = scalars['step'] if trains else step
            for name, value in scalars.items():
                if trains and 'loss' in name:
                    training[name][step] = value
                # COCO's metric writes -1 where there are no such objects.
                timing = name in ('step', 'time', 'data_time')
                if not trains and not timing and value != -1:
                    validation[name][step] = value
    if not training:
        raise FileNotFoundError(
            f"'{work_dir}' has no logged losses: name the folder of a "
            'training, which holds */vis_data/scalars.json'
        )
    return training, validation


def draw_curves(figure: Figure, work_dir: str | Path) -> None:
    """Draw the losses of training, and the metrics of validation."""
    axes = figure.subplots(1, 2)
    for ax, title, curves in zip(
        axes, ('training', 'validation'), read_curves(work_dir), strict=True
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

    The folder's file ``last_checkpoint`` is not read: once the folder is
    moved or copied, it names a file of the old place.

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
    """Run the model of a work dir on its test images.

    The config's own evaluators do not run.

    Args:
        work_dir (str | Path): Folder of the training.
        out_dir (str | Path): Folder for ``predictions.pkl``.
        checkpoint (str, optional): Weights. Defaults to None, the last.

    Returns:
        tuple: The config, and a prediction per image.

    Raises:
        ValueError: If the config is of another library than MMDetection and
            MMPretrain.
    """
    cfg = load_config(find_config(work_dir), work_dir=str(out_dir))
    detects = require(cfg, LIBRARIES, 'an analysis') == 'mmdet'
    cfg.load_from = checkpoint or last_checkpoint(work_dir)
    cfg.resume = False
    file = str(Path(out_dir, 'predictions.pkl'))
    kind = 'DumpDetResults' if detects else 'DumpResults'
    cfg.test_evaluator = dict(type=kind, out_file_path=file)
    RUNNERS.build(cfg).test()
    return cfg, load(file)


def _test_data(cfg: Config) -> Any:
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return DATASETS.build(cfg.test_dataloader.dataset)


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
        are the background: false detections and missed objects.
    """
    data = _test_data(cfg)
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

    False detections have no true class to be a share of: the row of the
    background is coloured by its share of all true objects. Lines set its row
    and column apart.
    """
    ax = figure.subplots()
    rows = counts.sum(1, keepdims=True)
    if classes[-1] == 'background':
        rows[-1] = max(rows[:-1].sum(), rows[-1, 0])
        ax.axhline(len(classes) - 1.5, color='black', linewidth=0.8)
        ax.axvline(len(classes) - 1.5, color='black', linewidth=0.8)
    shares = np.divide(
        counts, rows, where=rows > 0, out=np.zeros_like(counts, float)
    )
    image = ax.imshow(shares, 'Blues', vmin=0, vmax=1)
    figure.colorbar(image, ax=ax, label='share of the row')
    for (i, j), count in np.ndenumerate(counts):
        if count:
            colour = 'white' if shares[i, j] > 0.5 else 'black'
            ax.text(j, i, str(count), ha='center', va='center', color=colour)
    ax.set_xticks(
        range(len(classes)),
        classes,
        rotation=90 if max(map(len, classes)) > 2 else 0,
    )
    ax.set_yticks(range(len(classes)), classes)
    ax.set(xlabel='prediction', ylabel='truth')


def analyze_errors(cfg: Config, out_dir: str | Path) -> Path | None:
    """Split a detector's errors into kinds, by MMDetection's own tool.

    The areas between precision-recall curves are what AP would gain without
    errors of a kind: C75 and C50 are the curves at an IoU of 0.75 and 0.5,
    Loc ignores inaccurate boxes, Cls confusion with other classes, BG boxes
    on the background, FN misses.

    Args:
        cfg (Config): The config.
        out_dir (str | Path): Where :func:`predict` wrote. The pictures, of
            each class too, go to its folder ``bbox``.

    Returns:
        Path | None: The picture of all classes; None without a detection.
    """
    import mmdet

    out_dir = Path(out_dir)
    truth, found = _as_coco(cfg, load(out_dir / 'predictions.pkl'))
    if not found:
        return None
    results, annotations = out_dir / 'results.json', out_dir / 'truth.json'
    dump(found, results)
    dump(truth, annotations)
    folder = Path(mmdet.__file__).parent / '.mim/tools/analysis_tools'
    sys.path.append(str(folder))
    tool: Any = import_module('coco_error_analysis')
    tool.makeplot = _draw_errors
    tool.Pool = lambda processes: Pool()  # and not 48, on any machine
    with redirect_stdout(StringIO()):
        tool.analyze_results(
            str(results), str(annotations), ['bbox'], str(out_dir)
        )
    return out_dir / 'bbox' / 'allclass.png'


def _as_coco(
    cfg: Config, predictions: list[dict[str, Any]]
) -> tuple[dict[str, list], list[dict]]:
    """Truth and detections in COCO's form, whatever the data set's own is."""
    data = _test_data(cfg)
    categories = [
        dict(id=i, name=name, supercategory=name)
        for i, name in enumerate(data.metainfo['classes'])
    ]
    annotations: list[dict] = []
    found: list[dict] = []
    for index, prediction in enumerate(predictions):
        for instance in data.get_data_info(index)['instances']:
            x1, y1, x2, y2 = instance['bbox']
            annotation = dict(
                id=len(annotations) + 1,  # pycocotools: 0 is no match
                image_id=index,
                category_id=instance['bbox_label'],
                bbox=[x1, y1, x2 - x1, y2 - y1],
                area=(x2 - x1) * (y2 - y1),
                iscrowd=int(instance.get('ignore_flag', 0)),
            )
            annotations.append(annotation)
        one = prediction['pred_instances']
        parts = one['bboxes'], one['scores'], one['labels']
        found += coco_form(index, parts, range(len(categories)))
    images = [dict(id=index) for index in range(len(predictions))]
    truth = dict(images=images, annotations=annotations, categories=categories)
    return truth, found


def _draw_errors(
    recall: np.ndarray,
    precision: np.ndarray,
    out_dir: str,
    name: str,
    iou_type: str,
) -> None:
    """Draw instead of the tool, whose legend lies on the curves.

    ``precision`` has the shape (7, recalls[, classes], areas, limits of
    detections); the first area is all, the first limit 100.
    """
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    ax = figure.subplots()
    below = np.zeros(len(recall))
    for (kind, colour), values in zip(
        _KINDS.items(), precision[..., 0, 0], strict=True
    ):
        if colour is None:
            continue
        curve = values.reshape(len(recall), -1).mean(1)
        label = f'{kind} {values.mean():.3f}'
        ax.fill_between(recall, below, curve, label=label, color=colour)
        ax.plot(recall, curve, color='black', linewidth=0.5)
        below = curve
    ax.set(xlabel='recall', ylabel='precision', xlim=(0, 1), ylim=(0, 1))
    ax.set_title(f'{iou_type}, {name}')
    figure.legend(loc='outside right upper', reverse=True)
    figure.savefig(Path(out_dir, f'{name.replace("/", "_")}.png'), dpi=120)


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
        ValueError: If the config is of another library.
    """
    out_dir = Path(out_dir)
    require(load_config(find_config(work_dir)), LIBRARIES, 'an analysis')
    curves = Figure(figsize=(12, 5), layout='constrained')
    draw_curves(curves, work_dir)
    cfg, predictions = predict(work_dir, out_dir, checkpoint)
    confused = Figure(figsize=(7, 6), layout='constrained')
    draw_confusion(confused, *confusion(cfg, predictions))
    paths = [out_dir / 'curves.png', out_dir / 'confusion.png']
    for figure, path in zip((curves, confused), paths, strict=True):
        figure.savefig(path, dpi=120)
    if cfg.default_scope == 'mmdet':
        if errors := analyze_errors(cfg, out_dir):
            paths.append(out_dir / 'errors.png')
            copyfile(errors, paths[-1])
        else:
            print_log('No object was detected: errors.png is left out.')
    return paths
