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
    """Draw detections, with lines and labels that grow with the image.

    A box and its label have the colour of the class, a mask its own: masks of
    one class touch.

    Args:
        image (np.ndarray): uint8 of shape (H, W, 3), BGR.
        boxes (np.ndarray): (x1, y1, x2, y2) in pixels, shape (K, 4).
        scores (np.ndarray): Shape (K,).
        labels (np.ndarray): Indices into ``classes``, shape (K,).
        classes (Sequence[str]): Names.
        masks (np.ndarray, optional): Bool of shape (K, H, W).

    Returns:
        np.ndarray: A picture of the image's shape, BGR.

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
    names = [
        f'{classes[label]} {score:.2f}'
        for label, score in zip(labels.tolist(), scores.tolist(), strict=True)
    ]
    sizes = [cv2.getTextSize(name, _FONT, scale, thick) for name in names]
    sides = [(w + 2, h + low + 2) for (w, h), low in sizes]
    places = _label_places(boxes.tolist(), scores.tolist(), sides)
    for i, corner in places.items():
        left = min(max(round(corner[0]), 0), image.shape[1] - 1)
        top = min(max(round(corner[1]), 0), image.shape[0] - 1)
        width, height = sides[i]
        plate = picture[top : top + height, left : left + width]
        paint = np.full_like(plate, colour(int(labels[i])))
        cv2.addWeighted(plate, 0.3, paint, 0.7, 0, plate)
        foot = left + 1, top + height - sizes[i][1] - 1
        cv2.putText(
            picture,
            names[i],
            foot,
            _FONT,
            scale,
            (0, 0, 0),
            thick,
            cv2.LINE_AA,
        )
    return picture


@cache
def colour(index: int) -> tuple[int, int, int]:
    """A bright colour, BGR, unlike those of near indices: the golden angle."""
    r, g, b = colorsys.hsv_to_rgb((1 / 3 + 0.618 * index) % 1, 0.9, 1)
    return round(255 * b), round(255 * g), round(255 * r)


def _label_places(
    boxes: list[list[float]],
    scores: Sequence[float],
    sides: Sequence[tuple[float, float]],
) -> dict[int, tuple[float, float]]:
    """Top left corners of labels that overlap none of a higher score.

    A label stands in the first free corner of its box, or is left out.
    """
    places: dict[int, tuple[float, float]] = {}
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        (x1, y1, x2, y2), (width, height) = boxes[i], sides[i]
        corners = product((y1, y2 - height), (x1, x2 - width))
        free = [
            (x, y)
            for y, x in corners
            if all(
                x + width <= a
                or a + sides[j][0] <= x
                or y + height <= b
                or b + sides[j][1] <= y
                for j, (a, b) in places.items()
            )
        ]
        if free:
            places[i] = free[0]
    return places
