"""One check of data and config, before a training and as a command."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope

from mmvovnet.tasks import dicts, leaves, model_of

from .boxes import check_boxes
from .images import DEPTHS, check_images
from .model import check_classes, check_shapes
from .records import Records, read_coco, read_voc
from .report import ERROR, WARNING, Report, table
from .steps import try_steps


def check(
    cfg: Config,
    splits: Sequence[str] = ('train', 'val'),
    depth: str = 'decode',
    workers: int | None = None,
    steps: bool = False,
) -> Report:
    """Check the data of a config, and the config against the data.

    Args:
        cfg (Config): A config of MMDetection or MMPretrain.
        splits (Sequence[str]): Of train, val, test. Defaults to the first
            two.
        depth (str): What is done with images: 'decode' them as the pipeline
            does, read their 'headers', or see to their 'presence'.
        workers (int, optional): Threads that open images. Defaults to the
            number of cores.
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
    files: dict[str, set[str]] = {}
    model = model_of(cfg)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        _check_validation(cfg, report)
        check_shapes(model, report, _side(cfg))
        for split in splits:
            for dataset in _datasets(cfg, split):
                records = _read(dataset, split, report)
                if records is None:
                    continue
                files.setdefault(split, set()).update(records.files)
                step = _loader(dataset, split)
                check_images(records, report, depth, step, workers)
                if split == 'train':
                    check_classes(model, records.classes, report)
        if steps and not report.errors:
            try_steps(cfg, model, report)
    shared = files.get('train', set()) & files.get('val', set())
    what = 'validates on images of the training'
    report.add(WARNING, 'val_dataloader', what, sorted(shared))
    return report


def _datasets(cfg: Config, split: str) -> list:
    return [*leaves((cfg.get(f'{split}_dataloader') or {}).get('dataset'))]


def _loader(dataset: Mapping[str, Any], split: str) -> Mapping | None:
    """The step of a pipeline that loads an image."""
    for step in dataset.get('pipeline') or ():
        if 'LoadImage' in str(step.get('type')):
            # mmengine leaves images out of a training alone.
            train = split == 'train'
            return step if train else dict(step, ignore_empty=False)
    return None


def _read(
    cfg: Mapping[str, Any], split: str, report: Report
) -> Records | None:
    """Read the annotations of a data set, in its own form."""
    where = f'{split}_dataloader.dataset'
    try:
        lazy: Any = DATASETS.build(dict(cfg, lazy_init=True, pipeline=[]))
        if not isinstance(lazy, BaseDataset):
            return None
        bases = {base.__name__ for base in type(lazy).__mro__}
        classes = lazy.metainfo.get('classes') or ()
        if 'CocoDataset' in bases:
            folder = (lazy.data_prefix or {}).get('img') or ''
            scored = split != 'train'
            path = lazy.ann_file
            records = read_coco(path, folder, classes, report, scored)
        elif 'XMLDataset' in bases:
            records = read_voc(lazy, classes, report)
        else:
            return _read_labels(lazy, where, report)
    except Exception as error:  # whatever the data set raises
        if isinstance(error, TypeError) and "'lazy_init'" in str(error):
            return None  # a data set that has no such option
        report.add(ERROR, where, f'{cfg.get("type")}: {error}')
        return None
    if records is None:
        return None
    masks = any(step.get('with_mask') for step in cfg.get('pipeline') or ())
    check_boxes(records, report, 'XMLDataset' in bases, masks)
    return records


def _read_labels(dataset: Any, where: str, report: Report) -> Records | None:
    """Load a data set of classification, by its own code."""
    dataset.full_init()
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    infos = [info for info in infos if 'gt_label' in info]
    if not infos:
        return None
    labels = [np.atleast_1d(info['gt_label']).tolist() for info in infos]
    counts = Counter(chain.from_iterable(labels))
    names = map(str, range(max(counts, default=-1) + 1))
    classes = dataset.metainfo.get('classes') or [*names]
    report.add(
        ERROR,
        where,
        f'a label is outside 0 to {len(classes) - 1}, the classes',
        [
            f'{info.get("img_path", i)}: {info["gt_label"]}'
            for i, (info, label) in enumerate(zip(infos, labels, strict=True))
            if not all(0 <= n < len(classes) for n in label)
        ],
    )
    rows = [(name, counts[i]) for i, name in enumerate(classes)]
    never = [name for name, count in rows if not count]
    report.add(WARNING, where, 'a class has no image', never)
    title = f'{where}: {len(infos)} images'
    report.tables.append(table(title, ('class', 'images'), rows))
    files = [str(i['img_path']) for i in infos if i.get('img_path')]
    sizes = np.full((len(files), 2), np.nan)
    return Records(where, files, sizes, list(classes), [], classes)


def _side(cfg: Config) -> int:
    """The side of the training's images, where all have one; 256 else."""
    for _, step in dicts(cfg.get('train_dataloader') or {}):
        fixed = step.get('type') == 'Resize' and 'scale' in step
        if fixed and step.get('keep_ratio') is False:
            return int(np.min(step['scale']))
    return 256


def _check_validation(cfg: Config, report: Report) -> None:
    """Check the interval, and that the metric reads the data validated on."""
    interval = (cfg.get('train_cfg') or {}).get('val_interval', 1)
    if not (isinstance(interval, int) and interval > 0):
        report.add(
            ERROR,
            'train_cfg.val_interval',
            f'is {interval!r} and must be a whole number above 0; '
            '--no-validate (val_cfg = val_dataloader = val_evaluator = '
            'None) leaves validation out',
        )
    validated = _datasets(cfg, 'val')
    if len(validated) != 1 or not validated[0].get('ann_file'):
        return
    own = Path(validated[0].get('data_root') or '', validated[0]['ann_file'])
    metrics = cfg.get('val_evaluator') or []
    for metric in [metrics] if isinstance(metrics, Mapping) else metrics:
        given = isinstance(metric, Mapping) and metric.get('ann_file')
        if given and own.resolve() != Path(given).resolve():
            report.add(
                ERROR,
                'val_evaluator.ann_file',
                f"is '{given}', and the validation's data is '{own}': the "
                'metric would compare other images',
            )
