"""Checks of boxes, on arrays of all boxes."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from .records import Records
from .report import ERROR, NOTE, WARNING, Report, table


def check_boxes(
    records: Records,
    classes: Sequence[str],
    report: Report,
    by_name: bool = False,
) -> np.ndarray:
    """Look at boxes as MMDetection will.

    Args:
        records (Records): The boxes.
        classes (Sequence[str]): Names by the config or the data set.
        report (Report): Gets what is found, and a table of the classes.
        by_name (bool): Whether labels follow the order of ``classes``, as in
            ``XMLDataset``, and not that of the data, as in ``CocoDataset``.

    Returns:
        np.ndarray: Which boxes the training will use, bool of shape (M,).
    """
    boxes, where = records.boxes, records.source
    names = np.array(records.names, object)
    of = names[records.label] if len(boxes) else np.array([], object)
    listed = np.isin(of, list(classes)) if len(of) else np.zeros(0, bool)

    def told(mask: np.ndarray) -> list[str]:
        """Examples of what a mask is true for; their files are blamed."""
        index = np.flatnonzero(mask)
        for image, times in Counter(records.image[index].tolist()).items():
            report.blame(records.files[image], times)
        return [
            f'{records.ids[i]}: {boxes[i].tolist()} in '
            f'{records.files[records.image[i]]}'
            for i in index[:4]
        ]

    def add(level: str, what: str, mask: np.ndarray) -> None:
        if mask.any():
            report.add(level, where, what, told(mask), count=int(mask.sum()))

    finite = np.isfinite(boxes).all(1)
    x, y, w, h = np.where(finite[:, None], boxes, 0).T
    sizes = records.sizes[records.image].reshape(-1, 2)
    width, height = np.where(np.isfinite(sizes), sizes, np.inf).T
    flat = finite & ((w <= 0) | (h <= 0))
    small = finite & ~flat & ((w < 1) | (h < 1))
    within_x = np.minimum(x + w, width) - np.maximum(x, 0)
    within_y = np.minimum(y + h, height) - np.maximum(y, 0)
    outside = finite & ~flat & ((within_x <= 0) | (within_y <= 0))
    over = (
        finite
        & ~flat
        & ~outside
        & ((x + w > width + 1) | (y + h > height + 1) | (x < -1) | (y < -1))
    )
    add(ERROR, 'a box is NaN or infinite: correct it', ~finite)
    add(
        WARNING,
        'a box has no area and is dropped, or ends the training in '
        'NaN: correct or remove it',
        flat,
    )
    add(WARNING, 'a box is thinner than a pixel and is dropped', small)
    add(WARNING, 'a box lies outside its image and is dropped', outside)
    areas = records.areas
    bare = finite & ~flat & (False if areas is None else areas <= 0)
    add(
        WARNING,
        'the area of a box is 0 or less, and mmdet drops the box: write its '
        'width times its height',
        bare,
    )
    add(WARNING, 'a box reaches over the edge of its image', over)
    corners = finite & (w > x) & (h > y) & (w <= width) & (h <= height)
    if len(boxes) and (over | outside).mean() > 0.3 and corners.mean() > 0.9:
        report.add(
            ERROR,
            where,
            f'{(over | outside).mean():.0%} of the boxes leave '
            'their images, and would not if they were x1, y1, x2, y2: COCO '
            'wants x, y, width, height',
        )
    faulty = ~finite | flat | small | outside | bare
    used = ~faulty & listed & ~records.ignored
    _check_classes(records, of, classes, used, report, by_name)
    if not used.any():
        reason = Counter(
            crowd=int(records.ignored.sum()),
            faulty=int(faulty.sum()),
            of_other_classes=int((~listed).sum()),
        )
        why = ', '.join(f'{n} {k}' for k, n in reason.items() if n)
        report.add(
            ERROR,
            where,
            f'none of {len(boxes)} boxes can be used'
            + (f' ({why})' if why else ''),
        )
    with_boxes = len(set(records.image[used].tolist()))
    empty = len(records.files) - with_boxes
    report.add(
        NOTE,
        where,
        f'{empty} of {len(records.files)} images have no box',
        count=min(empty, 1),
    )
    twice = [f for f, n in Counter(records.files).items() if n > 1]
    report.add(WARNING, where, 'an image is listed several times', twice)
    return used


def check_masks(records: Records, used: np.ndarray, report: Report) -> None:
    """See that boxes have the masks that a pipeline loads.

    Args:
        records (Records): The boxes.
        used (np.ndarray): Which are trained on, bool of shape (M,).
        report (Report): Gets what is found.
    """
    bare = used & ~_flags(records.outlined, used)
    torn = used & _flags(records.torn, used)
    for mask, what in (
        (
            bare,
            'a box has no segmentation, and the pipeline loads masks '
            '(LoadAnnotations, with_mask=True): add its polygons, remove it, '
            'or train without masks',
        ),
        (
            torn,
            'a segmentation is no list of polygons, each a list of six '
            'numbers or more in pairs x, y, and no run lengths of the '
            "image's size: correct it",
        ),
    ):
        ids = [records.ids[i] for i in np.flatnonzero(mask)]
        report.add(ERROR, records.source, what, ids)


def _flags(given: np.ndarray | None, like: np.ndarray) -> np.ndarray:
    return np.zeros_like(like) if given is None else given


def _check_classes(
    records: Records,
    of: np.ndarray,
    classes: Sequence[str],
    used: np.ndarray,
    report: Report,
    by_name: bool,
) -> None:
    where = records.source
    if isinstance(classes, str):
        report.add(
            ERROR,
            'metainfo.classes',
            f"is the text '{classes}', which is "
            f"taken letter by letter: write ('{classes}',), with the comma",
        )
        return
    counts, kept = Counter(of.tolist()), Counter(of[used].tolist())
    known = set(records.names)
    lost = [name for name in classes if name not in known]
    listed = ', '.join(f"'{name}'" for name in lost[:4])
    more = ', ...' if len(lost) > 4 else ''
    report.add(
        WARNING if by_name else ERROR,
        'metainfo.classes',
        f"{listed}{more} is no class of '{where}', which has "
        f'{sorted(known)[:8]}: set metainfo=dict(classes=...) of this data '
        'set to names in the annotations',
        count=len(lost),
    )
    order = [name for name in records.names if name in classes]
    if (
        not by_name
        and len(order) == len(set(order))
        and order != [n for n in classes if n in known]
    ):
        report.add(
            ERROR,
            'metainfo.classes',
            f'are in another order than in '
            f"'{where}', and CocoDataset goes by that one, so that names "
            f'would be exchanged: write {tuple(order)}',
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
    if len(rows) > 40:
        rows = [*sorted(rows, key=lambda r: -r[1])[:40], ('...', '', '')]
    report.tables.append(
        table(
            f'{where}: {len(records.files)} images, {len(of)} boxes',
            ('class', 'boxes', 'used'),
            rows,
        )
    )
