"""Annotations of any form as rows."""

import json
import math
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
_NEEDED = dict(
    images=('id', 'file_name', 'width', 'height'),
    annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
    categories=('id', 'name'),
)


class Box(NamedTuple):
    """A box of an image."""

    id: Any  # what the data calls it
    image: int  # index of its image
    name: str  # of its class
    box: list[float]  # x, y, width, height
    ignored: bool  # a crowd, or a difficult one
    area: float = math.nan  # by the annotations
    flaw: str = ''  # of its segmentation: BARE, TORN or none


class Records(NamedTuple):
    """The images and boxes of a split."""

    source: str  # the annotation file, or the folder
    files: list[str]  # paths of the images
    sizes: np.ndarray  # width and height by the annotations, or NaN: (N, 2)
    names: list[str]  # of the classes in the data
    boxes: list[Box]
    classes: Sequence[str]  # by the config or the data set


def read_coco(
    path: str,
    folder: str,
    classes: Sequence[str],
    report: Report,
    scored: bool = False,
) -> Records | None:
    """Read a COCO file; ``scored`` says that COCO's metric reads it too."""

    def error(what: str, examples: Sequence[object]) -> None:
        report.add(ERROR, path, what, examples)

    data = _read_json(path, report)
    if data is None:
        return None
    for kind, items in data.items():
        error(
            f'several entries of {kind} have one id, and mmdet takes one of '
            'them alone: correct the file',
            _twice(item['id'] for item in items),
        )
    images, annotations, categories = (data[kind] for kind in _NEEDED)
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
    names = {item['id']: item['name'] for item in categories}
    known: dict[str, dict] = dict(image_id=place, category_id=names)
    for key, ids in known.items():
        error(
            f'an annotation names an unknown {key}: correct the file',
            [a['id'] for a in used if a[key] not in ids],
        )
        used = [a for a in used if a[key] in ids]
    boxes = [
        Box(
            a['id'],
            place[a['image_id']],
            names[a['category_id']],
            a['bbox'],
            bool(a.get('iscrowd') or a.get('ignore')),
            a['area'] if type(a.get('area')) in (int, float) else math.nan,
            _flaw(a.get('segmentation'), images[place[a['image_id']]]),
        )
        for a in used
    ]
    files = [str(Path(folder, item['file_name'])) for item in images]
    sizes = [[i.get('width'), i.get('height')] for i in images]
    named = [item['name'] for item in categories]
    return Records(path, files, _sizes(sizes), named, boxes, classes)


def read_voc(
    dataset: Any, classes: Sequence[str], report: Report
) -> Records | None:
    """Read the files of mmdet's ``XMLDataset``, which need not be loaded."""
    listed, root = str(dataset.ann_file), Path(dataset.sub_data_root)
    try:
        lines = Path(listed).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        report.add(ERROR, listed, f'cannot be read: {error}')
        return None
    files: list[str] = []
    sizes: list[list] = []
    boxes: list[Box] = []
    unsized: list[str] = []
    for name in lines:  # a blank one is read too, as by mmdet
        path = root / dataset.ann_subdir / f'{name}.xml'
        try:
            tree = ET.parse(path).getroot()
            size = [
                int(tree.findtext(f'size/{key}', '-1'))
                for key in ('width', 'height')
            ]
            found = [
                _voc_box(item, f'{path} object {number}', len(files))
                for number, item in enumerate(tree.iterfind('object'), 1)
            ]
        except (OSError, ET.ParseError, ValueError, TypeError) as error:
            report.add(ERROR, str(path), f'cannot be read: {error}')
            continue
        boxes += found
        unsized += [str(path)] * (min(size) == 0)
        sizes.append(size if min(size) > 0 else [math.nan] * 2)
        files.append(str(root / dataset.img_subdir / f'{name}.jpg'))
    least = (dataset.filter_cfg or {}).get('min_size')
    what = 'an image has the size 0, as labelImg may write it, and '
    what += 'filter_cfg.min_size would drop it: write the size'
    level = ERROR if least and not dataset.test_mode else WARNING
    report.add(level, listed, what, unsized)
    names = list(dict.fromkeys(box.name for box in boxes))
    return Records(listed, files, _sizes(sizes), names, boxes, classes)


def _voc_box(item: ET.Element, number: str, image: int) -> Box:
    name = item.findtext('name')
    if name is None:
        raise ValueError('an object has no name')
    x1, y1, x2, y2 = (
        float(item.findtext(f'bndbox/{key}', ''))
        for key in ('xmin', 'ymin', 'xmax', 'ymax')
    )
    # As mmdet reads it.
    difficult = bool(int(item.findtext('difficult', '0')))
    return Box(number, image, name, [x1, y1, x2 - x1, y2 - y1], difficult)


def _read_json(path: str, report: Report) -> dict[str, list] | None:
    """The lists of a COCO file, without entries that lack keys."""
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
    given = data if isinstance(data, dict) else {}
    lacks = [kind for kind in _NEEDED if not isinstance(given.get(kind), list)]
    if lacks:
        report.add(ERROR, path, f'lacks the lists {", ".join(lacks)} of COCO')
        return None
    good: dict[str, list] = {kind: [] for kind in _NEEDED}
    lacking: dict[tuple, list[str]] = defaultdict(list)
    for kind, keys in _NEEDED.items():
        for number, item in enumerate(given[kind]):
            has = item if isinstance(item, dict) else {}
            lacks = [key for key in keys if has.get(key) is None]
            if lacks:
                lacking[(kind, *lacks)].append(f'{kind}[{number}]')
            # mmdet needs these, and the check of boxes does not.
            if not set(lacks) - {'area', 'width', 'height'}:
                good[kind].append(item)
    for (_, *lost), places in lacking.items():
        what = f'an entry lacks {", ".join(lost)}: correct the file'
        report.add(ERROR, path, what, places)
    return good


def _is_box(box: Any) -> bool:
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(type(x) in (int, float) for x in box)
    )


def _flaw(segmentation: Any, image: dict) -> str:
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


def _sizes(rows: list[list]) -> np.ndarray:
    try:
        return np.array(rows, float).reshape(-1, 2)
    except (TypeError, ValueError):  # a size that is no number
        return np.full((len(rows), 2), np.nan)


def _twice(ids: Iterable[Hashable]) -> list:
    return [number for number, times in Counter(ids).items() if times > 1]
