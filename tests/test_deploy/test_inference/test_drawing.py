import cv2
import numpy as np
import pytest

from mmvovnet.deploy.inference.drawing import _free_corner, colour, draw


def one(box, size=(160, 120), **masks):
    image = np.full((*reversed(size), 3), 255, np.uint8)
    found = np.array([box], float), np.array([0.9]), np.array([0])
    return draw(image, *found, ['seven'], **masks)


def test_box_label_and_colour():
    changed = (one([40, 50, 120, 100]) != 255).any(-1)
    assert changed[75, 38:43].any() and changed[98:103, 80].any()
    assert not changed[75, 60:100].any()
    assert changed[55:58, 45:60].all()  # the label's plate


@pytest.mark.skipif(cv2.__version__ < '5', reason='OpenCV 4 has ASCII alone')
def test_letters_of_many_languages_are_drawn():
    image = np.full((60, 160, 3), 255, np.uint8)
    found = np.float32([[5, 5, 150, 50]]), np.ones(1), np.zeros(1, int)
    pictures = [draw(image, *found, [name]) for name in '猫犬кж?']
    different = {picture.tobytes() for picture in pictures}
    assert len(different) == len(pictures)


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
    """Of five labels of one box, the last has no room."""
    taken = []
    for corner in ((0, 0), (60, 0), (0, 90), (60, 90), None):
        assert _free_corner((0, 0, 100, 100), 40, 10, taken) == corner
        taken.append((*(corner or (0, 200)), 40, 10))
    assert _free_corner((0, 195, 100, 300), 40, 10, taken) == (60, 195)


def test_the_surest_label_is_drawn():
    image = np.full((12, 60, 3), 255, np.uint8)  # room for one
    boxes, scores = np.float32([[0, 0, 60, 12]] * 2), np.float32([0.1, 0.9])
    both = draw(image, boxes, scores, np.array([0, 1]), ['a', 'b'])
    assert tuple(both[5, 30]) != tuple(both[5, 59])
    alone = draw(image, boxes[1:], scores[1:], np.array([1]), ['a', 'b'])
    assert (both[3:9, 3:30] == alone[3:9, 3:30]).all()
