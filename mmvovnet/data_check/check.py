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
from .model import check_classes, check_shapes
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
        cfg (Config): A config of MMDetection or MMPretrain.
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
        interval = (cfg.get('train_cfg') or {}).get('val_interval', 1)
        if not (isinstance(interval, int) and interval > 0):
            report.add(
                ERROR,
                'train_cfg.val_interval',
                f'is {interval!r} and must be a whole number above 0; '
                '--no-validate (val_cfg = val_dataloader = val_evaluator = '
                'None) leaves validation out',
            )
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
                    _loader(dataset, split),
                    processes,
                )
                if split == 'train' and len(records.boxes):
                    _compare_sizes(cfg, records, strides, report)
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
    dataset: Mapping[str, Any], split: str
) -> Mapping[str, Any] | None:
    """The step of a pipeline that loads an image."""
    for step in dataset.get('pipeline') or ():
        if 'LoadImage' in str(step.get('type')):
            # mmengine leaves images out of a training alone.
            train = split == 'train'
            return step if train else dict(step, ignore_empty=False)
    return None


def _read(
    cfg: Mapping[str, Any], split: str, report: Report
) -> tuple[Records, Sequence[str]] | None:
    """Read the annotations of a data set, in its own form."""
    kind = cfg.get('type')
    with DATASETS.switch_scope_and_registry(None) as registry:
        cls: Any = registry.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(cls, type) and issubclass(cls, BaseDataset)):
        return None
    try:
        lazy: Any = DATASETS.build(dict(cfg, lazy_init=True, pipeline=[]))
    except Exception as error:  # whatever the data set raises
        if isinstance(error, TypeError) and "'lazy_init'" in str(error):
            return None  # a data set that has no such option
        report.add(ERROR, f'{split}_dataloader.dataset', f'{kind}: {error}')
        return None
    classes = lazy.metainfo.get('classes') or ()
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
    infos = [info for info in infos if 'gt_label' in info]
    if not infos:
        return None
    classes = dataset.metainfo.get('classes') or ()
    labels = [np.atleast_1d(info['gt_label']) for info in infos]
    counts = np.bincount([n for label in labels for n in label if n >= 0])
    classes = classes or [str(i) for i in range(len(counts))]
    report.add(
        ERROR,
        where,
        f'a label is outside 0 to {len(classes) - 1}, the classes',
        [
            f'{info.get("img_path", i)}: {info["gt_label"]}'
            for i, (info, label) in enumerate(zip(infos, labels, strict=True))
            if not np.isin(label, range(len(classes))).all()
        ],
    )
    counts = np.pad(counts, (0, max(0, len(classes) - len(counts))))
    rows = list(zip(classes, counts, strict=False))
    never = [name for name, count in rows if not count]
    report.add(WARNING, where, 'a class has no image', never)
    report.tables.append(
        table(f'{where}: {len(infos)} images', ('class', 'images'), rows)
    )
    files = [str(i['img_path']) for i in infos if i.get('img_path')]
    return Records(where, files, names=list(classes)), classes


def _compare_sizes(
    cfg: Config, records: Records, strides: list[float], report: Report
) -> None:
    """Compare the sizes of boxes, in pixels as scaled, with the strides."""
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


def _steps(cfg: Config) -> Sequence[Mapping[str, Any]]:
    """The training's pipeline."""
    loader = cfg.get('train_dataloader') or {}
    for dataset in leaves(loader.get('dataset')):
        return dataset.get('pipeline') or ()
    return ()


def _scale(cfg: Config, records: Records) -> np.ndarray:
    """By how much the training's Resize enlarges each image."""
    ones = np.ones(len(records.files))
    for step in _steps(cfg):
        size = step.get('scale')
        if 'Resize' not in str(step.get('type')) or records.sizes is None:
            continue
        if not isinstance(size, Sequence) or np.shape(size) != (2,):
            continue
        with np.errstate(invalid='ignore', divide='ignore'):
            ratios = np.minimum(
                max(size) / records.sizes.max(1),
                min(size) / records.sizes.min(1),
            )
        return np.where(np.isfinite(ratios), ratios, ones)
    return ones


def _side(cfg: Config) -> int:
    """The side of the training's images, where all have one; 256 else."""
    for step in _steps(cfg):
        if step.get('type') == 'Resize' and step.get('keep_ratio') is False:
            return int(min(step['scale']))
    return 256


def _check_evaluator(cfg: Config, report: Report) -> None:
    """See that the metric reads the annotations that are validated on."""
    evaluators = cfg.get('val_evaluator') or []
    if isinstance(evaluators, Mapping):
        evaluators = [evaluators]
    validated = list(leaves((cfg.get('val_dataloader') or {}).get('dataset')))
    if len(validated) != 1 or not validated[0].get('ann_file'):
        return
    own = Path(validated[0].get('data_root') or '', validated[0]['ann_file'])
    for evaluator in evaluators:
        given = isinstance(evaluator, Mapping) and evaluator.get('ann_file')
        if given and own.resolve() != Path(given).resolve():
            report.add(
                ERROR,
                'val_evaluator.ann_file',
                f"is '{given}', and the validation's data is '{own}': the "
                'metric would compare other images',
            )
