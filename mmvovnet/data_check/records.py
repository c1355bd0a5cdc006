"""Annotations of any form as arrays."""

import json
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .report import ERROR, WARNING, Report

BARE = (
    'a box has no segmentation, and the pipeline loads masks '
    '(LoadAnnotations, with_mask=True): add its polygons, remove it, or train '
    'without masks'
)
TORN = (
    'a segmentation is no list of polygons, each a list of six numbers or '
    "more in pairs x, y, and no run lengths of the image's size: correct it"
)


@dataclass
class Records:
    """The images and boxes of a split.

    Attributes:
        source (str): The annotation file, or the folder.
        files (list[str]): Paths of the images.
        names (list[str]): Of the classes in the data.
        sizes (ndarray, optional): Width and height by the annotations, float
            of shape (N, 2); NaN where they do not say.
        image (ndarray): Index into ``files`` of each box, shape (M,).
        label (ndarray): Index into ``names`` of each box, shape (M,).
        boxes (ndarray): x, y, width, height, float of shape (M, 4).
        ignored (ndarray): Crowds and difficult ones, bool of shape (M,).
        ids (list): What the data calls each box.
        areas (ndarray, optional): By the annotations, float of shape (M,).
        masks (list[str], optional): What is wrong with each box's
            segmentation, :data:`BARE` or :data:`TORN`; '' if nothing is.
    """

    source: str
    files: list[str]
    names: list[str]
    sizes: np.ndarray | None = None
    image: np.ndarray = field(default_factory=partial(np.zeros, 0, int))
    label: np.ndarray = field(default_factory=partial(np.zeros, 0, int))
    boxes: np.ndarray = field(default_factory=partial(np.zeros, (0, 4)))
    ignored: np.ndarray = field(default_factory=partial(np.zeros, 0, bool))
    ids: list = field(default_factory=list)
    areas: np.ndarray | None = None
    masks: list[str] | None = None

    def only(self, mask: np.ndarray) -> 'Records':
        """All images, and the boxes that a mask of shape (M,) is true for."""
        ids = [i for i, keep in zip(self.ids, mask, strict=True) if keep]
        kept = {
            name: getattr(self, name)[mask]
            for name in ('image', 'label', 'boxes', 'ignored')
        }
        return replace(self, ids=ids, **kept)


def read_coco(
    path: str, folder: str, report: Report, scored: bool = False
) -> Records | None:
    """Read a COCO file whose images are in ``folder``; None if that fails.

    What is wrong goes to the report, as in all functions here; ``scored``
    says that COCO's metric reads the file too.
    """

    def error(what: str, examples: Sequence[object]) -> None:
        report.add(ERROR, path, what, examples)

    data = _read_json(path, report)
    if data is None:
        return None
    keys = dict(
        images=('id', 'file_name', 'width', 'height'),
        annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
        categories=('id', 'name'),
    )
    for kind, needed in keys.items():
        data[kind] = _with_keys(data[kind], needed, kind, path, report)
        error(
            f'several entries of {kind} have one id, and mmdet takes one of '
            'them alone: correct the file',
            _twice(item['id'] for item in data[kind]),
        )
    images, annotations, categories = (data[kind] for kind in keys)
    error(
        'several categories have one name, and mmdet takes both for one '
        'class: give them one id, or two names',
        _twice(str(item['name']) for item in categories),
    )
    error(
        'a bbox is not four numbers (x, y, width, height): correct the file',
        [
            f'annotation {a["id"]}: {a["bbox"]}'
            for a in annotations
            if not _is_box(a['bbox'])
        ],
    )
    used = [a for a in annotations if _is_box(a['bbox'])]
    if scored:
        error(
            "an annotation has the id 0, and COCO's metric counts what "
            'matches it as a miss: count ids from 1',
            [0 for a in used if a['id'] == 0],
        )
        error(
            "an annotation lacks iscrowd, which COCO's metric needs: write 0",
            [a['id'] for a in used if a.get('iscrowd') is None],
        )
    place = {item['id']: index for index, item in enumerate(images)}
    known = {item['id']: index for index, item in enumerate(categories)}
    for key, index in (('image_id', place), ('category_id', known)):
        error(
            f'an annotation names an unknown {key}: correct the file',
            [a['id'] for a in used if a[key] not in index],
        )
        used = [a for a in used if a[key] in index]
    return Records(
        source=path,
        files=[str(Path(folder, item['file_name'])) for item in images],
        sizes=_floats([[i.get('width'), i.get('height')] for i in images], 2),
        image=np.array([place[a['image_id']] for a in used], int),
        label=np.array([known[a['category_id']] for a in used], int),
        names=[item['name'] for item in categories],
        boxes=_floats([a['bbox'] for a in used], 4),
        ignored=np.array(
            [bool(a.get('iscrowd') or a.get('ignore')) for a in used], bool
        ),
        ids=[a['id'] for a in used],
        areas=_floats([a.get('area', np.nan) for a in used], 1)[:, 0],
        masks=[
            _mask_flaw(a.get('segmentation'), images[place[a['image_id']]])
            for a in used
        ],
    )


def read_voc(dataset: Any, report: Report) -> Records | None:
    """Read the files of mmdet's ``XMLDataset``, which need not be loaded."""
    listed = str(dataset.ann_file)
    try:
        names = Path(listed).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        report.add(ERROR, listed, f'cannot be read: {error}')
        return None
    root = Path(dataset.sub_data_root)
    records = Records(listed, [], [], masks=None)
    sizes: list[list[float]] = []
    rows: list[tuple[int, int, list[float], bool]] = []
    unsized: list[str] = []
    for name in names:  # a blank one is read too, as by mmdet
        path = root / dataset.ann_subdir / f'{name}.xml'
        try:
            tree = ET.parse(path).getroot()
            size: list[float] = [
                int(tree.findtext(f'size/{key}', '-1'))
                for key in ('width', 'height')
            ]
            objects = [_voc_object(item) for item in tree.iterfind('object')]
        except (OSError, ET.ParseError, ValueError, TypeError) as error:
            report.add(ERROR, str(path), f'cannot be read: {error}')
            continue
        unsized += [str(path)] * (min(size) == 0)
        for number, (label, box, ignored) in enumerate(objects, 1):
            if label not in records.names:
                records.names.append(label)
            index = records.names.index(label)
            rows.append((len(sizes), index, box, ignored))
            records.ids.append(f'{path} object {number}')
        sizes.append(size if min(size) > 0 else [np.nan] * 2)
        records.files.append(str(root / dataset.img_subdir / f'{name}.jpg'))
    least = (dataset.filter_cfg or {}).get('min_size')
    what = 'an image has the size 0, as labelImg may write it, and '
    what += 'filter_cfg.min_size would drop it: write the size'
    level = ERROR if least and not dataset.test_mode else WARNING
    report.add(level, listed, what, unsized)
    image, labels, boxes, difficult = (
        zip(*rows, strict=True) if rows else [()] * 4
    )
    return replace(
        records,
        sizes=_floats(sizes, 2),
        image=np.array(image, int),
        label=np.array(labels, int),
        boxes=_floats(boxes, 4),
        ignored=np.array(difficult, bool),
    )


def _voc_object(item: ET.Element) -> tuple[str, list[float], bool]:
    name = item.findtext('name')
    if name is None:
        raise ValueError('an object has no name')
    x1, y1, x2, y2 = (
        float(item.findtext(f'bndbox/{key}', ''))
        for key in ('xmin', 'ymin', 'xmax', 'ymax')
    )
    difficult = int(item.findtext('difficult', '0'))  # as mmdet reads it
    return name, [x1, y1, x2 - x1, y2 - y1], bool(difficult)


def _read_json(path: str, report: Report) -> dict[str, Any] | None:
    try:
        data = json.loads(Path(path).read_text())
    except FileNotFoundError:
        report.add(
            ERROR, path, 'there is no such file: see data_root and ann_file'
        )
        return None
    except (OSError, ValueError) as error:
        report.add(ERROR, path, f'is no COCO JSON: {error}')
        return None
    keys = ('images', 'annotations', 'categories')
    lists = data if isinstance(data, dict) else {}
    lacks = [key for key in keys if not isinstance(lists.get(key), list)]
    if lacks:
        report.add(ERROR, path, f'lacks the lists {", ".join(lacks)} of COCO')
        return None
    return lists


def _with_keys(
    items: list, keys: Sequence[str], kind: str, path: str, report: Report
) -> list[dict]:
    good: list[dict] = []
    lacking: dict[str, list[str]] = {}
    for number, item in enumerate(items):
        given = item if isinstance(item, dict) else {}
        lacks = [key for key in keys if given.get(key) is None]
        if lacks:
            where = f'{kind}[{number}]'
            lacking.setdefault(', '.join(lacks), []).append(where)
        # mmdet needs these, and the check of boxes does not.
        if not set(lacks) - {'area', 'width', 'height'}:
            good.append(item)
    for keys_lacking, places in lacking.items():
        what = f'an entry lacks {keys_lacking}: correct the file'
        report.add(ERROR, path, what, places)
    return good


def _is_box(box: Any) -> bool:
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(type(x) in (int, float) for x in box)
    )


def _mask_flaw(segmentation: Any, image: dict) -> str:
    """Whether mmdet drops a polygon of it, or cannot read it."""
    if not segmentation:
        return BARE
    if isinstance(segmentation, dict):  # run lengths
        sides = [image.get('height'), image.get('width')]
        right = list(segmentation.get('size', ())) == sides
        return '' if right and segmentation.get('counts') else TORN
    polygons = isinstance(segmentation, list) and all(
        isinstance(polygon, list)
        and len(polygon) >= 6
        and len(polygon) % 2 == 0
        for polygon in segmentation
    )
    return '' if polygons else TORN


def _floats(rows: Sequence, width: int) -> np.ndarray:
    try:
        array = np.array(rows, dtype=float)
    except (TypeError, ValueError):  # a size that is no number
        array = np.full((len(rows), width), np.nan)
    return array.reshape(-1, width)


def _twice(ids: Iterable[Hashable]) -> list:
    return [number for number, times in Counter(ids).items() if times > 1]
