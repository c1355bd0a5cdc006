"""Pictures of a training, from its work dir."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.fileio import dump, load
from mmengine.logging import print_log
from mmengine.registry import RUNNERS, DefaultScope
from torch import nn

from mmvovnet.engine import dump_predictions, load_config

from .plots import Curve, parse_scalars


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


def find_config(work_dir: str | Path) -> Path:
    """Find the config that a training left in its work dir.

    Raises:
        FileNotFoundError: If there is not exactly one.
    """
    found = sorted(Path(work_dir).glob('*.py'))
    if len(found) != 1:
        raise FileNotFoundError(
            f"'{work_dir}' should hold one config, and holds "
            f'{[path.name for path in found]}: name the folder of one training'
        )
    return found[0]


def last_checkpoint(work_dir: str | Path) -> str:
    """Find the last checkpoint that a training wrote."""
    return Path(work_dir, 'last_checkpoint').read_text().strip()


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
    if cfg.default_scope == 'mmdet':
        from mmdet.registry import DATASETS

        with DefaultScope.overwrite_default_scope('mmdet'):
            data = DATASETS.build(cfg.test_dataloader.dataset)
        tool = runpy.run_path(str(_mmdet_tool('confusion_matrix')))
        counts = tool['calculate_confusion_matrix'](
            data, predictions, score_thr
        )
        return counts, [*data.metainfo['classes'], 'background']
    from mmpretrain.evaluation import ConfusionMatrix
    from mmpretrain.registry import DATASETS

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = DATASETS.build(cfg.test_dataloader.dataset)
    labels = [
        [int(p[key]) for p in predictions]
        for key in ('pred_label', 'gt_label')
    ]
    classes = list(data.metainfo['classes'])
    counts = ConfusionMatrix.calculate(*labels, num_classes=len(classes))
    return counts.numpy(), classes


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
    display.plot(ax=ax, cmap='Blues', include_values=False)
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
    same and other supercategories, BG boxes on the background, FN misses.

    Args:
        cfg (Config): The config.
        out_dir (str | Path): Where :func:`predict` wrote. The tool's
            pictures, of each class too, go to its folder ``bbox``.

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
    subprocess.run(
        [
            sys.executable,
            _mmdet_tool('coco_error_analysis'),
            out_dir / 'results.bbox.json',
            out_dir,
            '--ann',
            annotations,
            '--extraplots',
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {'MPLBACKEND': 'agg'},
    )
    return out_dir / 'bbox' / 'bbox-allclass-allarea.png'


def _mmdet_tool(name: str) -> Path:
    import mmdet

    package = Path(mmdet.__file__).parent
    return package / '.mim' / 'tools' / 'analysis_tools' / f'{name}.py'


def load_detector(
    work_dir: str | Path, checkpoint: str | None = None
) -> tuple[nn.Module, Any]:
    """Load the detector of a work dir.

    Args:
        work_dir (str | Path): Folder of the training.
        checkpoint (str, optional): Weights. Defaults to None, the last.

    Returns:
        tuple: The model, in eval mode on the CPU, and the validation data.
    """
    from mmdet.apis import init_detector
    from mmdet.registry import DATASETS

    model = init_detector(
        str(find_config(work_dir)),
        checkpoint or last_checkpoint(work_dir),
        device='cpu',
    )
    return model, DATASETS.build(model.cfg.val_dataloader.dataset)


def report(
    work_dir: str | Path, out_dir: str | Path, checkpoint: str | None = None
) -> list[Path]:
    """Draw learning curves, confusion and, of a detector, kinds of errors.

    Of a RefineDet it also draws what the first head makes of the anchors.

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
