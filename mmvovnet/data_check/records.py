"""Annotations of any form as arrays."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .report import ERROR, WARNING, Report

_HOW = 'correct the file'


@dataclass
class Records:
    """The images and boxes of a split.

    Args:
        source (str): The annotation file, or the folder.
        files (list[str]): Paths of the images.
        names (list[str]): Of the classes in the data.
        sizes (np.ndarray, optional): Width and height that the annotations
            claim, float of shape (N, 2); NaN where they do not.
        image (np.ndarray): Index into ``files`` of each box, shape (M,).
        label (np.ndarray): Index into ``names`` of each box, shape (M,).
        boxes (np.ndarray): x, y, width, height, float of shape (M, 4).
        ignored (np.ndarray): Crowds and difficult ones, bool of shape (M,).
        ids (list): What the data calls each box.
        outlined (np.ndarray, optional): Boxes with a segmentation, bool of
            shape (M,). None if the data's form has none.
        torn (np.ndarray, optional): Boxes whose segmentation has no form
            that mmdet reads, bool of shape (M,).
        areas (np.ndarray, optional): That the data claims, float of shape
            (M,).
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
    outlined: np.ndarray | None = None
    torn: np.ndarray | None = None
    areas: np.ndarray | None = None

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
    """Read COCO's form.

    Args:
        path (str): The JSON file.
        folder (str): Where its images are.
        report (Report): Gets what is wrong with the file.
        scored (bool): Whether COCO's metric reads it too.

    Returns:
        Records | None: What can be used of it; None if nothing can.
    """
    data = _read_json(path, report)
    if data is None:
        return None
    images = _with_keys(
        data['images'],
        ('id', 'file_name', 'width', 'height'),
        'image',
        path,
        report,
    )
    annotations = _with_keys(
        data['annotations'],
        ('id', 'image_id', 'category_id', 'bbox', 'area'),
        'annotation',
        path,
        report,
    )
    categories = _with_keys(
        data['categories'], ('id', 'name'), 'category', path, report
    )
    for kind, items in (
        ('image', images),
        ('annotation', annotations),
        ('category', categories),
    ):
        ids = [item['id'] for item in items]
        report.add(
            ERROR,
            path,
            f'several {kind} entries have one id, and mmdet '
            f'takes one of them alone: {_HOW}',
            sorted(_twice(ids)),
            count=len(ids) - len(set(ids)),
        )
    twice = sorted(_twice([str(item['name']) for item in categories]))
    report.add(
        ERROR,
        path,
        'several categories have one name, and mmdet takes both for one '
        'class: give them one id, or two names',
        twice,
    )
    four = [a for a in annotations if _is_box(a['bbox'])]
    report.add(
        ERROR,
        path,
        f'a bbox is not four numbers (x, y, width, height): {_HOW}',
        [
            f'annotation {a["id"]}: {a["bbox"]}'
            for a in annotations
            if not _is_box(a['bbox'])
        ],
        count=len(annotations) - len(four),
    )
    if scored:
        ids = [a['id'] for a in four if a['id'] == 0]
        what = "has the id 0, and COCO's metric counts what matches it as a "
        what += 'miss: count ids from 1'
        report.add(ERROR, path, f'an annotation {what}', ids)
        ids = [a['id'] for a in four if a.get('iscrowd') is None]
        what = "lacks iscrowd, which COCO's metric needs: write 0"
        report.add(ERROR, path, f'an annotation {what}', ids)
    place = {item['id']: index for index, item in enumerate(images)}
    known = {item['id']: index for index, item in enumerate(categories)}
    used = []
    for key, index in (('image_id', place), ('category_id', known)):
        lost = [a['id'] for a in four if a[key] not in index]
        report.add(
            ERROR,
            path,
            f'an annotation names an unknown {key}: {_HOW}',
            lost,
        )
    used = [
        a for a in four if a['image_id'] in place and a['category_id'] in known
    ]
    return Records(
        source=path,
        files=[str(Path(folder, item['file_name'])) for item in images],
        sizes=_floats([[i['width'], i['height']] for i in images], 2),
        image=np.array([place[a['image_id']] for a in used], int),
        label=np.array([known[a['category_id']] for a in used], int),
        names=[item['name'] for item in categories],
        boxes=_floats([a['bbox'] for a in used], 4),
        ignored=np.array(
            [bool(a.get('iscrowd') or a.get('ignore')) for a in used], bool
        ),
        ids=[a['id'] for a in used],
        outlined=np.array([bool(a.get('segmentation')) for a in used], bool),
        torn=np.array(
            [
                _is_torn(a.get('segmentation'), images[place[a['image_id']]])
                for a in used
            ],
            bool,
        ),
        areas=_floats([a.get('area', np.nan) for a in used], 1)[:, 0],
    )


def read_voc(dataset: Any, report: Report) -> Records | None:
    """Read Pascal VOC's form.

    Args:
        dataset: An mmdet ``XMLDataset``, which need not be loaded.
        report (Report): Gets what is wrong with the files.

    Returns:
        Records | None: What can be used of them; None if nothing can.
    """
    try:
        names = Path(dataset.ann_file).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        report.add(ERROR, str(dataset.ann_file), f'cannot be read: {error}')
        return None
    root = Path(dataset.sub_data_root)
    blank = [f'line {n}' for n, name in enumerate(names, 1) if not name]
    report.add(
        ERROR,
        str(dataset.ann_file),
        'a line is blank, and mmdet takes it for a file: remove it',
        blank,
    )
    files, sizes, rows, classes, unsized = [], [], [], {}, []
    for name in filter(None, names):
        path = root / dataset.ann_subdir / f'{name}.xml'
        image = root / dataset.img_subdir / f'{name}.jpg'
        try:
            tree = ET.parse(path).getroot()
            size = [
                int(tree.findtext(f'size/{k}', '-1'))
                for k in ('width', 'height')
            ]
            if min(size) < 1:  # 0 as labelImg writes it, or missing
                unsized += [str(path)] * (min(size) == 0)
                size = [np.nan] * 2
            boxes = [_voc_object(item) for item in tree.iterfind('object')]
        except (OSError, ET.ParseError, ValueError, TypeError) as error:
            report.add(ERROR, str(path), f'cannot be read: {error}')
            report.blame(str(path))
            continue
        for number, (label, box, ignored) in enumerate(boxes, 1):
            index = classes.setdefault(label, len(classes))
            where = f'{path} object {number}'
            rows.append((len(files), index, box, ignored, where))
        files.append(str(image))
        sizes.append(size)
    least = (dataset.filter_cfg or {}).get('min_size')
    report.add(
        ERROR if least and not dataset.test_mode else WARNING,
        str(dataset.ann_file),
        'an image has the size 0, as labelImg may write it: '
        + (
            f'filter_cfg.min_size={least} drops it; write the size, or leave '
            'the option out'
            if least
            else 'mmdet trains on it, unless filter_cfg.min_size is set'
        ),
        unsized,
    )
    image, label, boxes, ignored, ids = (
        zip(*rows, strict=True) if rows else (((),) * 5)
    )
    return Records(
        str(dataset.ann_file),
        files,
        list(classes),
        _floats(sizes, 2),
        np.array(image, int),
        np.array(label, int),
        _floats(boxes, 4),
        np.array(ignored, bool),
        list(ids),
    )


def _voc_object(item: ET.Element) -> tuple[str, list[float], bool]:
    name = item.findtext('name')
    if name is None:
        raise ValueError('an object has no name')
    corners = [
        float(item.findtext(f'bndbox/{k}'))
        for k in ('xmin', 'ymin', 'xmax', 'ymax')
    ]
    x1, y1, x2, y2 = corners
    difficult = int(item.findtext('difficult', '0'))  # as mmdet reads it
    return name, [x1, y1, x2 - x1, y2 - y1], bool(difficult)


def _read_json(path: str, report: Report) -> dict | None:
    if not Path(path).is_file():
        report.add(
            ERROR, path, 'there is no such file: see data_root and ann_file'
        )
        return None
    content = Path(path).read_bytes()
    begin = content[:15].lstrip()
    try:
        if not begin:
            raise ValueError('it is empty')
        if begin.startswith(b'<'):
            raise ValueError('it is a web page or XML')
        if begin.startswith(b'\xef\xbb\xbf'):
            raise ValueError(
                'it begins with a byte order mark: save it as UTF-8 without'
            )
        data = json.loads(content)
        if not isinstance(data, dict):
            raise ValueError(f'it holds a {type(data).__name__}, no object')
    except ValueError as error:
        report.add(ERROR, path, f'is no COCO JSON: {error}')
        return None
    keys = ('images', 'annotations', 'categories')
    lacks = [key for key in keys if not isinstance(data.get(key), list)]
    if lacks:
        report.add(ERROR, path, f'lacks the lists {", ".join(lacks)} of COCO')
        return None
    return data


def _with_keys(
    items: list, keys: Sequence[str], kind: str, path: str, report: Report
) -> list[dict]:
    good, lacking = [], {}
    for number, item in enumerate(items):
        lacks = [
            key
            for key in keys
            if not isinstance(item, dict) or item.get(key) is None
        ]
        # An area is needed by mmdet; without one the box is still looked at.
        if lacks:
            lacking.setdefault(', '.join(lacks), []).append(
                f'{kind} number {number}'
            )
        if not set(lacks) - {'area', 'width', 'height'}:
            good.append(item)
    for lacks, places in lacking.items():
        report.add(ERROR, path, f'an entry lacks {lacks}: {_HOW}', places)
    return good


def _is_box(box: Any) -> bool:
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(type(x) in (int, float) for x in box)
    )


def _is_torn(segmentation: Any, image: dict) -> bool:
    """Whether mmdet drops a polygon of it, or cannot read it."""
    if isinstance(segmentation, dict):  # run lengths
        sides = [image.get('height'), image.get('width')]
        return not segmentation.get('counts') or (
            list(segmentation.get('size', ())) != sides
        )
    return isinstance(segmentation, list) and not all(
        isinstance(polygon, list)
        and len(polygon) >= 6
        and len(polygon) % 2 == 0
        for polygon in segmentation
    )


def _floats(rows: list, width: int) -> np.ndarray:
    try:
        array = np.array(rows, dtype=float)
    except (TypeError, ValueError):  # a size that is no number
        array = np.full((len(rows), width), np.nan)
    return array.reshape(-1, width)


def _twice(ids: list) -> set:
    seen, twice = set(), set()
    for number in ids:
        (twice if number in seen else seen).add(number)
    return twice
