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

from mmvovnet.engine import find_config, load_config
from mmvovnet.engine.resume import newest
from mmvovnet.tasks import require

Curves = dict[str, dict[int, float]]
# The kinds of errors of coco_error_analysis.py, without its Sim: confusion
# within a supercategory, where each class is its own.
_KINDS = {
    'C75': 'white',
    'C50': 'lightgrey',
    'Loc': 'tab:blue',
    'Cls': 'tab:green',
    'BG': 'tab:purple',
    'FN': 'tab:orange',
}


def read_curves(work_dir: str | Path) -> tuple[Curves, Curves]:
    """Read what a training logged, also if it was interrupted and resumed.

    Returns:
        tuple: Losses and validation metrics, each a value by iteration by
        name. A validation has the iteration before it.

    Raises:
        FileNotFoundError: If nothing was logged.
    """
    training: Curves = defaultdict(dict)
    validation: Curves = defaultdict(dict)
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


def draw_curves(figure: Figure, work_dir: str | Path) -> tuple[Curves, Curves]:
    """Draw what :func:`read_curves` reads, and return it."""
    drawn = read_curves(work_dir)
    axes = figure.subplots(1, 2)
    titles = ('training', 'validation')
    for ax, title, curves in zip(axes, titles, drawn, strict=True):
        for name, curve in curves.items():
            ax.plot(*zip(*curve.items(), strict=True), '.-', label=name)
        ax.set(xlabel='iteration', title=title)
        ax.grid(alpha=0.3)
        if curves:
            ax.legend(fontsize='small')
    axes[0].set(yscale='log', ylabel='loss')
    axes[1].set_ylabel('metric (AP from 0 to 1, accuracy in %)')
    return drawn


def last_checkpoint(work_dir: str | Path) -> str:
    """Find the newest whole checkpoint in a work dir, as ``--resume`` does.

    Raises:
        FileNotFoundError: If there is none.
    """
    # In a folder that was moved, its file last_checkpoint names the old one.
    for template in ('epoch_{}.pth', 'iter_{}.pth'):
        if path := newest(work_dir, template):
            return str(path)
    raise FileNotFoundError(
        f"there is no whole checkpoint in '{work_dir}': name one as checkpoint"
    )


def predict(
    work_dir: str | Path, out_dir: str | Path, checkpoint: str | None = None
) -> tuple[Config, list[dict[str, Any]]]:
    """Run the model of a work dir on its test images, without evaluators.

    Args:
        work_dir (str | Path): Folder of the training.
        out_dir (str | Path): Folder for ``predictions.pkl``.
        checkpoint (str, optional): Weights. Defaults to None, the last.

    Returns:
        tuple: The config, and a prediction per image.

    Raises:
        FileNotFoundError: If the work dir has no config or no checkpoint.
        ValueError: If the config is not of MMDetection or MMPretrain.
    """
    cfg = load_config(find_config(work_dir), work_dir=str(out_dir))
    detects = require(cfg, ('mmdet', 'mmpretrain'), 'an analysis') == 'mmdet'
    cfg.load_from = checkpoint or last_checkpoint(work_dir)
    cfg.resume = False
    file = f'{out_dir}/predictions.pkl'
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
        cfg (Config): What :func:`predict` returned, as ``predictions``.
        predictions (list[dict]): A prediction per image.
        score_thr (float): Detections below it are left out.

    Returns:
        tuple: Counts of shape (true classes, predicted classes), and the
        classes' names. The last of a detector's is the background: false
        detections and missed objects.
    """
    data = _test_data(cfg)
    classes = list(data.metainfo['classes'])
    pairs: list[tuple[int, int]] = []
    if cfg.default_scope == 'mmdet':
        for i, prediction in enumerate(predictions):
            truth = data.get_data_info(i)['instances']
            found = prediction['pred_instances']
            pairs += _match(truth, found, len(classes), score_thr)
        classes.append('background')
    else:
        pairs += [
            (int(p['gt_label']), int(p['pred_label'])) for p in predictions
        ]
    counts = np.zeros((len(classes),) * 2, int)
    np.add.at(counts, tuple(np.array(pairs, int).reshape(-1, 2).T), 1)
    return counts, classes


def _match(
    instances: list[dict],
    found: dict[str, Tensor],
    background: int,
    thr: float,
) -> Iterator[tuple[int, int]]:
    """Labels of truth and detection; MMDetection's tool counts some twice."""
    from mmdet.structures.bbox import bbox_overlaps
    from scipy.optimize import linear_sum_assignment

    sure = found['scores'] >= thr
    boxes, labels = found['bboxes'][sure], found['labels'][sure]
    truth = torch.tensor([i['bbox'] for i in instances]).reshape(-1, 4)
    names = torch.tensor([i['bbox_label'] for i in instances]).long()
    overlaps = bbox_overlaps(truth.to(boxes), boxes)
    # A detection of the right class comes before one that overlaps more.
    worth = (overlaps + (names[:, None] == labels)) * (overlaps >= 0.5)
    pairs = zip(*linear_sum_assignment(worth, True), strict=True)
    detection_of = {i: j for i, j in pairs if worth[i, j] > 0}
    for i, instance in enumerate(instances):
        if not instance.get('ignore_flag'):
            j = detection_of.get(i)
            yield int(names[i]), background if j is None else int(labels[j])
    for j in set(range(len(labels))) - set(detection_of.values()):
        yield background, int(labels[j])


def draw_confusion(
    figure: Figure, counts: np.ndarray, classes: list[str]
) -> None:
    """Draw what :func:`confusion` counted, coloured by share of the row."""
    ax = figure.subplots()
    rows = counts.sum(1, keepdims=True)
    if classes[-1] == 'background':
        # False detections as a share of all true objects.
        rows[-1] = max(rows[:-1].sum(), rows[-1, 0])
        ax.axhline(len(classes) - 1.5, color='black', linewidth=0.8)
        ax.axvline(len(classes) - 1.5, color='black', linewidth=0.8)
    shares = counts / np.maximum(rows, 1)
    image = ax.imshow(shares, 'Blues', vmin=0, vmax=1)
    figure.colorbar(image, ax=ax, label='share of the row')
    for (i, j), count in np.ndenumerate(counts):
        if count:
            colour = 'white' if shares[i, j] > 0.5 else 'black'
            ax.text(j, i, str(count), ha='center', va='center', color=colour)
    turn = 90 if max(map(len, classes)) > 2 else 0
    ax.set_xticks(range(len(classes)), classes, rotation=turn)
    ax.set_yticks(range(len(classes)), classes)
    ax.set(xlabel='prediction', ylabel='truth')


def analyze_errors(cfg: Config, out_dir: str | Path) -> Path | None:
    """Split a detector's errors into kinds, by MMDetection's own tool.

    An area between precision-recall curves is what AP would gain without
    errors of a kind.

    Args:
        cfg (Config): What :func:`predict` returned.
        out_dir (str | Path): Where it wrote; the pictures go to ``bbox``
            there.

    Returns:
        Path | None: The picture of all classes; None without a detection.
    """
    import mmdet

    predictions = load(Path(out_dir, 'predictions.pkl'))
    if not any(len(p['pred_instances']['scores']) for p in predictions):
        return None
    truth, found = _as_coco(cfg, predictions, str(Path(out_dir, 'errors')))
    folder = Path(mmdet.__file__).parent / '.mim/tools/analysis_tools'
    sys.path.append(str(folder))
    tool: Any = import_module('coco_error_analysis')
    tool.makeplot = _draw_errors
    tool.Pool = lambda processes: Pool()  # and not 48, on any machine
    with redirect_stdout(StringIO()):
        tool.analyze_results(found, truth, ['bbox'], str(out_dir))
    return Path(out_dir, 'bbox', 'allclass.png')


def _as_coco(
    cfg: Config, predictions: list[dict[str, Any]], prefix: str
) -> tuple[str, str]:
    """Write truth and detections as COCO's JSON, of any kind of data set."""
    from mmdet.evaluation import CocoMetric

    data = _test_data(cfg)
    metric = CocoMetric()
    metric.dataset_meta = data.metainfo
    metric.cat_ids = range(len(data.metainfo['classes']))
    count = range(len(predictions))
    infos = [dict(data.get_data_info(i), img_id=i) for i in count]
    truths = [dict(info, anns=info['instances']) for info in infos]
    truth = metric.gt_to_coco_json(truths, prefix)
    content = load(truth)
    for category in content['categories']:  # which the tool asks for
        category['supercategory'] = category['name']
    dump(content, truth)
    parts = ('bboxes', 'scores', 'labels')  # without masks
    found = [{k: p['pred_instances'][k] for k in parts} for p in predictions]
    return truth, metric.results2json(found, prefix)['bbox']


def _draw_errors(
    recall: Any, precision: Any, out_dir: str, name: str, iou_type: str
) -> None:
    """Draw instead of the tool, whose legend lies on the curves."""
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    ax = figure.subplots()
    values = np.delete(precision[..., 0, 0], 3, 0).reshape(6, len(recall), -1)
    curves = values.mean(2)
    means = curves.mean(1)
    labels = [f'{k} {m:.3f}' for k, m in zip(_KINDS, means, strict=True)]
    areas = np.diff(curves, axis=0, prepend=0)
    ax.stackplot(recall, areas, labels=labels, colors=_KINDS.values())
    ax.plot(recall, curves.T, color='black', linewidth=0.5)
    ax.set(xlabel='recall', ylabel='precision', xlim=(0, 1), ylim=(0, 1))
    ax.set_title(f'{iou_type}, {name}')
    figure.legend(loc='outside right upper', reverse=True)
    figure.savefig(Path(out_dir, f'{name.replace("/", "_")}.png'), dpi=120)


def report(
    work_dir: str | Path, out_dir: str | Path, checkpoint: str | None = None
) -> list[Path]:
    """Draw learning curves, confusion and, of a detector, kinds of errors.

    Args:
        work_dir (str | Path): Folder of a training, with its config.
        out_dir (str | Path): Folder for the pictures, made if need be.
        checkpoint (str, optional): Weights. Defaults to None, the last.

    Raises:
        FileNotFoundError: If the work dir has no curves or no config.
        ValueError: If the config is not of MMDetection or MMPretrain.
    """
    out_dir = Path(out_dir)
    curves = Figure(figsize=(12, 5), layout='constrained')
    draw_curves(curves, work_dir)
    cfg, predictions = predict(work_dir, out_dir, checkpoint)
    confused = Figure(figsize=(7, 6), layout='constrained')
    draw_confusion(confused, *confusion(cfg, predictions))
    paths = [out_dir / 'curves.png', out_dir / 'confusion.png']
    curves.savefig(paths[0], dpi=120)
    confused.savefig(paths[1], dpi=120)
    if cfg.default_scope == 'mmdet':
        if errors := analyze_errors(cfg, out_dir):
            paths.append(copyfile(errors, out_dir / 'errors.png'))
        else:
            print_log('No object was detected: errors.png is left out.')
    return paths
