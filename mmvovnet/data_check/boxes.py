"""Checks of boxes, on arrays of all boxes."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .records import BARE, TORN, Records
from .report import ERROR, NOTE, WARNING, Report, table


def check_boxes(
    records: Records,
    classes: Sequence[str],
    report: Report,
    by_name: bool = False,
) -> np.ndarray:
    """Look at boxes as MMDetection will; return which it will use.

    Args:
        records (Records): The boxes.
        classes (Sequence[str]): Names by the config or the data set.
        report (Report): Gets what is found, and a table of the classes.
        by_name (bool): Whether labels follow the order of ``classes``, as in
            ``XMLDataset``, and not that of the data, as in ``CocoDataset``.
    """
    boxes, where = records.boxes, records.source
    finite = np.isfinite(boxes).all(1)
    x, y, w, h = np.where(finite[:, None], boxes, 0).T
    sizes: Any = records.sizes
    sizes = sizes[records.image].reshape(-1, 2)
    width, height = np.where(np.isfinite(sizes), sizes, np.inf).T
    within_x = np.minimum(x + w, width) - np.maximum(x, 0)
    within_y = np.minimum(y + h, height) - np.maximum(y, 0)
    over = (x + w > width + 1) | (y + h > height + 1) | (x < -1) | (y < -1)
    flat = finite & ((w <= 0) | (h <= 0))
    whole = finite & ~flat
    outside = whole & ((within_x <= 0) | (within_y <= 0))
    areas = records.areas
    faults = {
        'a box has no area and is dropped, or ends the training in NaN: '
        'correct or remove it': flat,
        'a box is thinner than a pixel and is dropped': (
            whole & ((w < 1) | (h < 1))
        ),
        'a box lies outside its image and is dropped': outside,
        'the area of a box is 0 or less, and mmdet drops the box: write its '
        'width times its height': (
            whole & (areas <= 0) if areas is not None else np.zeros_like(flat)
        ),
    }
    _add(
        ERROR, 'a box is NaN or infinite: correct it', ~finite, records, report
    )
    for what, mask in faults.items():
        _add(WARNING, what, mask, records, report)
    over &= whole & ~outside
    what = 'a box reaches over the edge of its image'
    _add(WARNING, what, over, records, report)
    corners = finite & (w > x) & (h > y) & (w <= width) & (h <= height)
    leave = over | outside
    if len(boxes) and leave.mean() > 0.3 and corners.mean() > 0.9:
        report.add(
            ERROR,
            where,
            f'{leave.mean():.0%} of the boxes leave their images, and would '
            'not if they were x1, y1, x2, y2: COCO wants x, y, width, height',
        )
    names = np.array(records.names, object)
    of = names[records.label] if len(boxes) else np.array([], object)
    listed = np.isin(of, list(classes)) if len(of) else np.zeros(0, bool)
    faulty = ~finite | np.any(list(faults.values()), axis=0)
    used = ~faulty & listed & ~records.ignored
    _check_classes(records, of, classes, used, report, by_name)
    if not used.any():
        reasons = dict(
            crowd=records.ignored, faulty=faulty, of_other_classes=~listed
        )
        why = [f'{m.sum()} {name}' for name, m in reasons.items() if m.any()]
        what = f'none of {len(boxes)} boxes can be used'
        report.add(ERROR, where, what + (f' ({", ".join(why)})' * bool(why)))
    empty = len(records.files) - len(set(records.image[used].tolist()))
    what = f'{empty} of {len(records.files)} images have no box'
    report.add(NOTE, where, what, count=min(empty, 1))
    twice = [f for f, n in Counter(records.files).items() if n > 1]
    report.add(WARNING, where, 'an image is listed several times', twice)
    return used


def _add(
    level: str, what: str, mask: np.ndarray, records: Records, report: Report
) -> None:
    """Add a fault of the boxes that a mask is true for."""
    index = np.flatnonzero(mask)
    examples = [
        f'{records.ids[i]}: {records.boxes[i].tolist()} in '
        f'{records.files[records.image[i]]}'
        for i in index[:4]
    ]
    report.add(level, records.source, what, examples, count=len(index))


def check_masks(records: Records, used: np.ndarray, report: Report) -> None:
    """See that the boxes in use have the masks that a pipeline loads."""
    flaws = zip(records.ids, records.masks or (), used, strict=False)
    bad = [(number, flaw) for number, flaw, use in flaws if use]
    for what in (BARE, TORN):
        ids = [number for number, flaw in bad if flaw == what]
        report.add(ERROR, records.source, what, ids)


def _check_classes(
    records: Records,
    of: np.ndarray,
    classes: Sequence[str],
    used: np.ndarray,
    report: Report,
    by_name: bool,
) -> None:
    where, key = records.source, 'metainfo.classes'
    if isinstance(classes, str):
        report.add(
            ERROR,
            key,
            f"is the text '{classes}', which is taken letter by letter: write "
            f"('{classes}',), with the comma",
        )
        return
    counts, kept = Counter(of.tolist()), Counter(of[used].tolist())
    known = set(records.names)
    lost = [name for name in classes if name not in known]
    listed = ', '.join(f"'{name}'" for name in lost[:4])
    more = ', ...' if len(lost) > 4 else ''
    report.add(
        WARNING if by_name else ERROR,
        key,
        f"{listed}{more} is no class of '{where}', which has "
        f'{sorted(known)[:8]}: set metainfo=dict(classes=...) of this data '
        'set to names in the annotations',
        count=len(lost),
    )
    order = [name for name in records.names if name in classes]
    moved = order != [n for n in classes if n in known]
    if not by_name and moved and len(order) == len(set(order)):
        report.add(
            ERROR,
            key,
            f"are in another order than in '{where}', which CocoDataset goes "
            f'by, so that names would be exchanged: write {tuple(order)}',
        )
    never = [n for n in classes if n in known and not counts[n]]
    report.add(WARNING, where, 'a class has no box', never)
    vain = [n for n in classes if counts[n] and not kept[n]]
    report.add(WARNING, where, 'no box of a class can be used', vain)
    left_out = {n: c for n, c in counts.items() if n not in classes}
    report.add(
        WARNING,
        where,
        'boxes of classes that the config does not list are dropped',
        [f'{n}: {c}' for n, c in left_out.items()],
        count=sum(left_out.values()),
    )
    rows = [(name, counts[name], kept[name]) for name in (*classes, *left_out)]
    title = f'{where}: {len(records.files)} images, {len(of)} boxes'
    report.tables.append(table(title, ('class', 'boxes', 'used'), rows))
