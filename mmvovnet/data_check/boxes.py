"""Checks of boxes, on arrays of all boxes."""

from collections import Counter

import numpy as np

from .records import BARE, TORN, Box, Records
from .report import ERROR, NOTE, WARNING, Report, table


def check_boxes(
    records: Records,
    report: Report,
    by_name: bool = False,
    with_masks: bool = False,
) -> None:
    """Look at boxes as MMDetection will.

    ``by_name`` says that labels follow the order of the config's classes, as
    in ``XMLDataset``, and not that of the data, as in ``CocoDataset``.
    """
    where, files, rows = records.source, records.files, records.boxes
    boxes = np.array([row.box for row in rows], float).reshape(-1, 4)
    finite = np.isfinite(boxes).all(1)
    x, y, w, h = np.where(finite[:, None], boxes, 0).T
    sizes = records.sizes[[row.image for row in rows]].reshape(-1, 2)
    width, height = np.where(np.isfinite(sizes), sizes, np.inf).T
    within_x = np.minimum(x + w, width) - np.maximum(x, 0)
    within_y = np.minimum(y + h, height) - np.maximum(y, 0)
    over = (x + w > width + 1) | (y + h > height + 1) | (x < -1) | (y < -1)
    flat = finite & ((w <= 0) | (h <= 0))
    whole = finite & ~flat
    outside = whole & ((within_x <= 0) | (within_y <= 0))
    over &= whole & ~outside
    faults = {
        'a box has no area and is dropped, or ends the training in NaN: '
        'correct or remove it': flat,
        'a box is thinner than a pixel and is dropped': (
            whole & ((w < 1) | (h < 1))
        ),
        'a box lies outside its image and is dropped': outside,
        'the area of a box is 0 or less, and mmdet drops the box: write its '
        'width times its height': (
            whole & (np.array([row.area for row in rows], float) <= 0)
        ),
    }
    for level, what, mask in (
        (ERROR, 'a box is NaN or infinite: correct it', ~finite),
        *((WARNING, what, mask) for what, mask in faults.items()),
        (WARNING, 'a box reaches over the edge of its image', over),
    ):
        index = np.flatnonzero(mask)
        examples = [
            f'{rows[i].id}: {boxes[i].tolist()} in {files[rows[i].image]}'
            for i in index[:4]
        ]
        report.add(level, where, what, examples, count=len(index))
    corners = finite & (w > x) & (h > y) & (w <= width) & (h <= height)
    leave = over | outside
    if len(rows) and leave.mean() > 0.3 and corners.mean() > 0.9:
        report.add(
            ERROR,
            where,
            f'{leave.mean():.0%} of the boxes leave their images, and would '
            'not if they were x1, y1, x2, y2: COCO wants x, y, width, height',
        )
    known = set(records.classes)
    listed = np.array([row.name in known for row in rows], bool)
    ignored = np.array([row.ignored for row in rows], bool)
    faulty = np.any([~finite, *faults.values()], axis=0)
    used = ~faulty & listed & ~ignored
    kept = [rows[i] for i in np.flatnonzero(used)]
    _check_classes(records, kept, report, by_name)
    if not kept:
        reasons = dict(crowd=ignored, faulty=faulty, of_other_classes=~listed)
        why = [f'{m.sum()} {name}' for name, m in reasons.items() if m.any()]
        what = f'none of {len(rows)} boxes can be used'
        report.add(ERROR, where, what + (f' ({", ".join(why)})' * bool(why)))
    for what in (BARE, TORN) if with_masks else ():
        ids = [row.id for row in kept if row.flaw == what]
        report.add(ERROR, where, what, ids)
    empty = len(files) - len({row.image for row in kept})
    if empty:
        what = f'{empty} of {len(files)} images have no box'
        report.add(NOTE, where, what)
    twice = [f for f, n in Counter(files).items() if n > 1]
    report.add(WARNING, where, 'an image is listed several times', twice)


def _check_classes(
    records: Records, used: list[Box], report: Report, by_name: bool
) -> None:
    where, key = records.source, 'metainfo.classes'
    names, classes = records.names, records.classes
    if isinstance(classes, str):
        report.add(
            ERROR,
            key,
            f"is the text '{classes}', which is taken letter by letter: write "
            f"('{classes}',), with the comma",
        )
        return
    counts = Counter(row.name for row in records.boxes)
    kept = Counter(row.name for row in used)
    lost = [name for name in classes if name not in names]
    listed = ', '.join(f"'{name}'" for name in lost[:4])
    more = ', ...' if len(lost) > 4 else ''
    report.add(
        WARNING if by_name else ERROR,
        key,
        f"{listed}{more} is no class of '{where}', which has "
        f'{sorted(names)[:8]}: set metainfo=dict(classes=...) of this data '
        'set to names in the annotations',
        count=len(lost),
    )
    order = [name for name in names if name in classes]
    moved = order != [name for name in classes if name in names]
    if not by_name and moved and len(order) == len(set(order)):
        report.add(
            ERROR,
            key,
            f"are in another order than in '{where}', which CocoDataset goes "
            f'by, so that names would be exchanged: write {tuple(order)}',
        )
    never = [n for n in classes if n in names and not counts[n]]
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
    boxes = len(records.boxes)
    title = f'{where}: {len(records.files)} images, {boxes} boxes'
    report.tables.append(table(title, ('class', 'boxes', 'used'), rows))
