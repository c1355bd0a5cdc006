import json

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from mmvovnet.analysis.plots import (
    plot_curves,
    plot_detections,
    read_scalars,
)
from tests.pictures import check


def test_scores_stand_at_the_iteration_before_them(tmp_path, monkeypatch):
    lines = [
        {'loss': 3.0, 'iter': 5, 'step': 5},
        {'loss': 2.0, 'iter': 10, 'step': 10},
        {'coco/bbox_mAP': 0.25, 'step': 1},
        {'loss': 1.0, 'iter': 15, 'step': 15},
        {'coco/bbox_mAP': 0.5, 'step': 2},
    ]
    path = tmp_path / 'scalars.json'
    path.write_text('\n'.join(map(json.dumps, lines)))
    losses, scores = read_scalars(path)
    assert losses.tolist() == [[5, 3], [10, 2], [15, 1]]
    assert scores.tolist() == [[10, 0.25], [15, 0.5]]
    drawn = []
    monkeypatch.setattr(
        Figure, 'savefig', lambda *args, **_: drawn.append(args)
    )
    plot_curves(losses, scores, tmp_path / 'curves.png')
    ((figure, path),) = drawn
    assert path == tmp_path / 'curves.png'
    check(figure)
    left, right = figure.axes
    assert left.lines[0].get_xydata().tolist() == losses.tolist()
    assert right.lines[0].get_xydata().tolist() == scores.tolist()
    assert left.get_ylim()[0] == 0 and right.get_ylim() == (0, 1)
    assert [text.get_text() for text in right.texts] == ['0.25', '0.50']


def test_boxes_are_drawn_on_their_own_picture(tmp_path):
    images = [np.zeros((64, 64, 3), np.uint8)] * 3
    truth = (np.array([[10, 20, 40, 50]]), ['1'])
    none = (np.zeros((0, 4)), [])
    pictures = {}
    for name, truths, detections in (
        ('none', [none] * 3, [none] * 3),
        ('truth', [truth, none, none], [none] * 3),
        ('other', [none] * 3, [(truth[0], ['not a class']), none, none]),
    ):
        path = tmp_path / f'{name}.png'
        plot_detections(images, truths, detections, path)
        pictures[name] = np.asarray(Image.open(path).convert('RGB'), int)
    quarter = pictures['none'].shape[1] // 4
    for name, column in (('truth', 0), ('other', 1)):
        change = np.abs(pictures[name] - pictures['none']).sum((0, 2))
        changed = set((change.nonzero()[0] // quarter).tolist())
        assert changed == {column}
