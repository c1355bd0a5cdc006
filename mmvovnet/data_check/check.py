"""One check of data and config, before a training and as a command."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope

from mmvovnet.tasks import leaves

from .boxes import check_boxes, check_masks
from .images import DEPTHS, check_images
from .model import check_classes, check_settings, check_shapes
from .records import Records, read_coco, read_voc
from .report import ERROR, NOTE, WARNING, Report, table
from .steps import try_steps


def check(
    cfg: Config,
    splits: Sequence[str] = ('train', 'val'),
    depth: str = 'decode',
    processes: int | None = None,
    steps: bool = False,
) -> Report:
    """Check the data of a config, and the config against the data.

    Args:
        cfg (Config): Of MMDetection's or MMPretrain's kind.
        splits (Sequence[str]): Of train, val, test. Defaults to the first
            two.
        depth (str): What is done with images: 'decode' them as the pipeline
            does, read their 'headers', or see to their 'presence'.
        processes (int, optional): That open images. Defaults to the number
            of cores.
        steps (bool): Whether to build the model and take a step of training
            and of validation, if there are no errors. Defaults to False.

    Returns:
        Report: Its ``errors`` are what would make the training wrong.

    Raises:
        ValueError: If ``depth`` is none of the three.
    """
    if depth not in DEPTHS:
        raise ValueError(f"depth='{depth}' is none of {', '.join(DEPTHS)}")
    report = Report()
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        check_settings(cfg, report)
        strides = check_shapes(cfg, report, _side(cfg))
        files: dict[str, set[str]] = {}
        for split in splits:
            loader = cfg.get(f'{split}_dataloader') or {}
            for dataset in leaves(loader.get('dataset')):
                found = _read(dataset, split, report)
                if found is None:
                    continue
                records, classes = found
                files.setdefault(split, set()).update(records.files)
                if split == 'train':
                    check_classes(cfg, classes, report)
                check_images(
                    records.files,
                    records.sizes,
                    records.source,
                    report,
                    depth,
                    _loader(dataset, split, report),
                    processes,
                )
                if split == 'train' and len(records.boxes):
                    _tell_sizes(cfg, records, strides, report)
        _check_evaluator(cfg, report)
        if steps and not report.errors:
            try_steps(cfg, report)
    shared = files.get('train', set()) & files.get('val', set())
    report.add(
        WARNING,
        'val_dataloader',
        'validates on images of the training',
        sorted(shared),
    )
    return report


def _loader(
    dataset: Mapping[str, Any], split: str, report: Report
) -> Mapping[str, Any] | None:
    """The step of a pipeline that loads an image."""
    for step in dataset.get('pipeline') or ():
        if 'LoadImage' not in str(step.get('type')):
            continue
        if split == 'train' or not step.get('ignore_empty'):
            return step
        report.add(
            WARNING,
            f'{split}_dataloader.dataset.pipeline',
            'has ignore_empty=True, and mmengine leaves images out of a '
            'training alone: here an image that cannot be read ends the run, '
            'and the error does not name it',
        )
        return dict(step, ignore_empty=False)
    return None


def _read(
    cfg: Mapping[str, Any], split: str, report: Report
) -> tuple[Records, Sequence[str]] | None:
    """Read the annotations of a data set, in its own form."""
    kind = cfg.get('type')
    with DATASETS.switch_scope_and_registry(None) as registry:
        cls = registry.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(cls, type) and issubclass(cls, BaseDataset)):
        return None
    try:
        lazy = DATASETS.build(dict(cfg, lazy_init=True, pipeline=[]))
    except Exception as error:  # whatever the data set raises
        if isinstance(error, TypeError) and "'lazy_init'" in str(error):
            return None  # a data set that has no such option
        report.add(ERROR, f'{split}_dataloader.dataset', f'{kind}: {error}')
        return None
    palette = lazy.metainfo.get('palette')
    classes = lazy.metainfo.get('classes') or ()
    short = isinstance(palette, list) and len(palette) < len(classes)
    report.add(
        WARNING,
        f'{split}_dataloader.dataset.metainfo.palette',
        'has fewer colours than there are classes, and mmdet draws no others: '
        "set palette='random'",
        count=int(short),
    )
    bases = {base.__name__ for base in cls.__mro__}
    if 'CocoDataset' in bases:
        folder = (lazy.data_prefix or {}).get('img') or ''
        records = read_coco(lazy.ann_file, folder, report, split != 'train')
    elif 'XMLDataset' in bases:
        records = read_voc(lazy, report)
    else:
        return _read_labels(lazy, split, report)
    if records is None:
        return None
    used = check_boxes(records, classes, report, 'XMLDataset' in bases)
    if any(step.get('with_mask') for step in cfg.get('pipeline') or ()):
        check_masks(records, used, report)
    return records.only(used), classes


def _read_labels(
    dataset: Any, split: str, report: Report
) -> tuple[Records, Sequence[str]] | None:
    """Load a data set of classification, by its own code."""
    where = f'{split}_dataloader.dataset'
    try:
        dataset.full_init()
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    except Exception as error:  # whatever the data set raises
        report.add(ERROR, where, f'{type(dataset).__name__}: {error}')
        return None
    classes = dataset.metainfo.get('classes') or ()
    labels = [info['gt_label'] for info in infos if 'gt_label' in info]
    if not labels:
        return None
    counts = np.bincount([n for n in labels if isinstance(n, int) and n >= 0])
    if not classes:
        classes = [str(i) for i in range(len(counts))]
    outside = [
        f'{info.get("img_path", i)}: {info["gt_label"]}'
        for i, info in enumerate(infos)
        if 'gt_label' in info
        and not np.isin(info['gt_label'], range(len(classes))).all()
    ]
    report.add(
        ERROR,
        where,
        f'a label is outside 0 to {len(classes) - 1}, the classes',
        outside,
    )
    counts = np.pad(counts, (0, max(0, len(classes) - len(counts))))
    never = [n for n, c in zip(classes, counts, strict=False) if not c]
    report.add(WARNING, where, 'a class has no image', never)
    rows = list(zip(classes, counts, strict=False))
    rows = rows if len(rows) <= 40 else [*rows[:40], ('...', '')]
    report.tables.append(
        table(f'{where}: {len(infos)} images', ('class', 'images'), rows)
    )
    files = [str(i['img_path']) for i in infos if i.get('img_path')]
    return Records(where, files, names=list(classes)), classes


def _tell_sizes(
    cfg: Config, records: Records, strides: list[float], report: Report
) -> None:
    """Tell the sizes of boxes in pixels of the scaled image."""
    scale = _scale(cfg, records)
    w, h = (records.boxes[:, 2:] * scale[records.image, None]).T
    side = np.sqrt(np.clip(w * h, 0, None))
    side = side[np.isfinite(side) & (side > 0)]
    if not len(side):
        return
    marks = np.percentile(side, [1, 25, 50, 75, 99]).round(1)
    text = 'side of a box (square root of its area), in pixels as scaled'
    report.tables.append(
        table(text, ('1 %', '25 %', '50 %', '75 %', '99 %'), [marks.tolist()])
    )
    head = (cfg.get('model') or {}).get('bbox_head') or {}
    ranges = head.get('regress_ranges')
    if ranges:  # FCOS: by the longest distance from a box's centre to a side
        reach = np.maximum(w, h) / 2
        rows = [
            (
                f'{low} to {high:g}',
                int(((reach > low) & (reach <= high)).sum()),
            )
            for low, high in ranges
        ]
        text = 'boxes for each level of FCOS (regress_ranges)'
        report.tables.append(table(text, ('half of a side', 'boxes'), rows))
    if not strides:
        return
    below = float((side < strides[0]).mean())
    report.add(
        WARNING if below > 0.1 else NOTE,
        records.source,
        f'{below:.0%} of the boxes are smaller than the first stride '
        f'({round(strides[0])} pixels) after Resize: enlarge its scale',
        count=int(below > 0.01),
    )


def _scale(cfg: Config, records: Records) -> np.ndarray:
    """By how much the training's Resize enlarges each image."""
    ones = np.ones(len(records.files))
    leaf = next(leaves(cfg.train_dataloader.get('dataset')), {})
    for step in leaf.get('pipeline') or ():
        size = step.get('scale')
        pair = isinstance(size, Sequence) and len(size) == 2
        if 'Resize' not in str(step.get('type')) or not pair:
            continue
        if not all(isinstance(n, int | float) for n in size):
            continue
        long, short = max(size), min(size)
        with np.errstate(invalid='ignore', divide='ignore'):
            ratios = np.minimum(
                long / records.sizes.max(1), short / records.sizes.min(1)
            )
        return np.where(np.isfinite(ratios), ratios, ones)
    return ones


def _side(cfg: Config) -> int:
    """The side of the training's images, where all have one; 256 else."""
    leaf = next(leaves((cfg.get('train_dataloader') or {}).get('dataset')), {})
    for step in leaf.get('pipeline') or ():
        if step.get('type') == 'Resize' and step.get('keep_ratio') is False:
            return int(min(step['scale']))
    return 256


def _check_evaluator(cfg: Config, report: Report) -> None:
    """See that the metric reads the annotations that are validated on."""
    evaluators = cfg.get('val_evaluator') or []
    if isinstance(evaluators, Mapping):
        evaluators = [evaluators]
    validated = list(leaves((cfg.get('val_dataloader') or {}).get('dataset')))
    for evaluator in evaluators:
        given = isinstance(evaluator, Mapping) and evaluator.get('ann_file')
        if (
            not given
            or len(validated) != 1
            or not validated[0].get('ann_file')
        ):
            continue
        root = validated[0].get('data_root') or ''
        own = Path(root, validated[0]['ann_file'])
        if own.resolve() != Path(given).resolve():
            report.add(
                ERROR,
                'val_evaluator.ann_file',
                f"is '{given}', and the validation's data is '{own}': the "
                'metric would compare other images',
            )
