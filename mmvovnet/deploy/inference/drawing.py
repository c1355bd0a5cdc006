"""Pictures of what a detector finds, by OpenCV alone."""

import colorsys
from collections.abc import Sequence
from functools import cache
from itertools import product

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(
    image: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    masks: np.ndarray | None = None,
) -> np.ndarray:
    """Draw what is in an image, uint8 of shape (H, W, 3) in BGR.

    Lines and labels grow with the image. A box and its label have the colour
    of the class, a mask its own: masks of one class touch.

    Example:
        >>> image, box = np.zeros((64, 64, 3), np.uint8), [[8, 30, 40, 60]]
        >>> found = np.array(box), np.ones(1), np.zeros(1, int)
        >>> tuple(draw(image, *found, ['cat'])[60, 20].tolist()) == colour(0)
        True
    """
    picture = image.copy()
    size = max(1.0, max(image.shape[:2]) / 640)
    line, scale, thick = round(2 * size), 0.4 * size, round(size)
    if masks is not None and len(masks):
        number = np.zeros(image.shape[:2], np.uint8)
        for i, mask in enumerate(masks):
            x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
            part = np.s_[y : y + h, x : x + w]
            np.copyto(number[part], i % 255 + 1, where=mask[part])
        colours = np.array([[(0, 0, 0), *map(colour, range(255))]], np.uint8)
        paint = cv2.LUT(cv2.merge([number] * 3), colours)
        mixed = cv2.addWeighted(picture, 0.5, paint, 0.5, 0)
        picture = cv2.copyTo(mixed, number, picture)
    corners = np.rint(boxes).astype(int).reshape(-1, 2, 2).tolist()
    for (first, last), label in zip(corners, labels.tolist(), strict=True):
        cv2.rectangle(picture, first, last, colour(label), line)
    taken: list[tuple[float, float, int, int]] = []
    for i in np.argsort(-scores, kind='stable').tolist():
        name = f'{classes[labels[i]]} {scores[i]:.2f}'
        (width, height), low = cv2.getTextSize(name, _FONT, scale, thick)
        side = width + 2, height + low + 2
        corner = _free_corner(boxes[i].tolist(), *side, taken)
        if corner is None:
            continue
        taken.append((*corner, *side))
        left = min(max(round(corner[0]), 0), image.shape[1] - 1)
        top = min(max(round(corner[1]), 0), image.shape[0] - 1)
        plate = picture[top : top + side[1], left : left + side[0]]
        paint = np.full_like(plate, colour(int(labels[i])))
        cv2.addWeighted(plate, 0.3, paint, 0.7, 0, plate)
        foot, black = (left + 1, top + height + 1), (0, 0, 0)
        cv2.putText(
            picture, name, foot, _FONT, scale, black, thick, cv2.LINE_AA
        )
    return picture


@cache
def colour(index: int) -> tuple[int, int, int]:
    """A bright colour, BGR, unlike those of near indices: the golden angle."""
    r, g, b = colorsys.hsv_to_rgb((1 / 3 + 0.618 * index) % 1, 0.9, 1)
    return round(255 * b), round(255 * g), round(255 * r)


def _free_corner(
    box: Sequence[float],
    width: int,
    height: int,
    taken: Sequence[tuple[float, float, int, int]],
) -> tuple[float, float] | None:
    """Where a label in a corner of its box overlaps none of those taken."""
    x1, y1, x2, y2 = box
    for y, x in product((y1, y2 - height), (x1, x2 - width)):
        if all(
            x + width <= a or a + w <= x or y + height <= b or b + h <= y
            for a, b, w, h in taken
        ):
            return x, y
    return None
