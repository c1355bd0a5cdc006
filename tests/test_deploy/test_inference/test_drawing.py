import numpy as np
import pytest

from mmvovnet.deploy.inference.drawing import (
    _label_places,
    colour,
    draw,
)


def one(box, size=(160, 120), **masks):
    image = np.full((*reversed(size), 3), 255, np.uint8)
    found = np.array([box], float), np.array([0.9]), np.array([0])
    return draw(image, *found, ['seven'], **masks)


def test_box_label_and_colour():
    changed = (one([40, 50, 120, 100]) != 255).any(-1)
    assert changed[75, 38:43].any() and changed[98:103, 80].any()
    assert not changed[75, 60:100].any()
    assert changed[55:58, 45:60].all()  # the label's plate


def test_nothing_found():
    image = np.full((120, 160, 3), 255, np.uint8)
    none = np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)
    masks = np.zeros((0, 120, 160), bool)
    assert (draw(image, *none, ['seven'], masks) == image).all()


@pytest.mark.parametrize(
    'box', [[-9, -9, 30, 30], [150, 110, 170, 130], [160, 120, 160, 120]]
)
def test_boxes_that_leave_the_image(box):
    assert (one(box) != 255).any()


def test_colours_of_classes_differ():
    assert len({colour(label) for label in range(80)}) == 80


def test_masks_show_the_image():
    masks = np.zeros((1, 120, 160), bool)
    masks[0, 90:110, 130:150] = True  # away from the box
    picture = one([10, 10, 60, 40], masks=masks)
    half = (np.array(colour(0)) + 255) / 2
    assert np.abs(picture[90:110, 130:150] - half).max() <= 1
    assert (picture[85:115, 125:130] == 255).all()


def test_lines_grow_with_the_image():
    widths = []
    for size in (640, 2560):
        box = np.array([0.25, 0.2, 0.75, 0.45]) * size
        row = one(box, (size, size // 2))[int(0.3 * size)]
        widths.append((row[: size // 2] != 255).any(-1).sum())
    assert widths == [3, 9]


def test_labels_overlap_no_surer_ones():
    boxes = [[0, 0, 100, 100]] * 5 + [[0, 200, 100, 300]]
    scores = [0.5, 0.9, 0.8, 0.7, 0.6, 0.4]
    places = _label_places(boxes, scores, [(40, 10)] * 6)
    assert places == {
        1: (0, 0),
        2: (60, 0),
        3: (0, 90),
        4: (60, 90),
        5: (0, 200),  # the least sure of five in one place has no room
    }
