"""Detections in COCO's form."""

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from .detector import Found


def coco_ids(
    annotations: str | Path | None,
    files: Sequence[str],
    classes: Sequence[str],
) -> tuple[dict[str, int], list[int]]:
    """The ids of images, by the longest common end of paths, and classes."""
    if not annotations:
        return {}, list(range(len(classes)))
    by_name = defaultdict(list)
    try:
        known = json.loads(Path(annotations).read_bytes())
        categories = {each['name']: each['id'] for each in known['categories']}
        for each in known['images']:
            path = Path(each['file_name'])
            by_name[path.name].append((path, each['id']))
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"'{annotations}' is not COCO's JSON file, a dict with 'images', "
            "of which each has 'id' and 'file_name', and 'categories', with "
            f"'id' and 'name': {error!r}"
        ) from error
    if unknown := [name for name in classes if name not in categories]:
        raise ValueError(
            f"'{annotations}' has no categories {unknown}, which the model "
            'detects'
        )
    files_of: dict[int, str] = {}
    for file in files:
        path = Path(file).absolute()
        same = by_name[path.name]
        most = max((_common_end(path, other) for other, _ in same), default=0)
        likely = [each for each in same if _common_end(path, each[0]) == most]
        if not likely:
            raise ValueError(f"the annotations have no image '{path.name}'")
        if len(likely) > 1:
            raise ValueError(
                f"'{file}' may be any of the annotations' images "
                f'{[str(other) for other, _ in likely]}: keep its '
                'folders as they are there'
            )
        other = files_of.setdefault(likely[0][1], file)
        if other != file:
            raise ValueError(
                f"'{other}' and '{file}' are one image in the annotations: "
                'detect one of them only'
            )
    ids = {file: image for image, file in files_of.items()}
    return ids, [categories[name] for name in classes]


def _common_end(one: Path, other: Path) -> int:
    """How many parts of two paths agree, from the end."""
    pairs = zip(reversed(one.parts), reversed(other.parts), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def coco_form(
    image: str | int, found: Found, categories: Sequence[int]
) -> list[dict]:
    """Detections in COCO's form."""
    results = [
        dict(
            image_id=image,
            category_id=categories[label],
            bbox=[x1, y1, x2 - x1, y2 - y1],
            score=score,
        )
        for (x1, y1, x2, y2), score, label in zip(
            *(part.tolist() for part in found[:3]), strict=True
        )
    ]
    for masks in found[3:]:
        for result, mask in zip(results, masks, strict=True):
            result['segmentation'] = _runs(mask)
    return results


def _runs(mask: np.ndarray) -> dict[str, Any]:
    """A mask as COCO's compressed run lengths, column by column."""
    flat = mask.ravel('F')
    ends = np.flatnonzero(np.diff(flat, prepend=False))
    counts = np.diff(ends, prepend=0, append=flat.size)
    text = ''
    for number in [*counts[:3], *(counts[3:] - counts[1:-2])]:
        more = True
        while more:  # five bits a letter, the lowest first
            low, number = number & 31, number >> 5
            more = number != (-1 if low & 16 else 0)
            text += chr(48 + low + 32 * more)
    return {'size': list(mask.shape), 'counts': text}
