"""What every picture must be: a fixture that looks at those that are saved."""

from itertools import combinations

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox


@pytest.fixture(autouse=True)
def legible(monkeypatch):
    """Check each figure when it is saved."""
    save = Figure.savefig

    def checked(figure, *args, **kwargs):
        save(figure, *args, **kwargs)
        check(figure)

    monkeypatch.setattr(Figure, 'savefig', checked)


def check(figure):
    """Nothing is cut off or hidden, and every axis of numbers is named."""
    page = figure.bbox.padded(2)
    boxes = []
    for axes in figure.findobj(Axes):
        box = axes.get_tightbbox()
        assert page.x0 <= box.x0 and box.x1 <= page.x1, f'{axes} is cut off'
        assert page.y0 <= box.y0 and box.y1 <= page.y1, f'{axes} is cut off'
        boxes.append((axes, axes.get_tightbbox(for_layout_only=True)))
        place = axes.get_subplotspec()
        for axis, outer in (
            (axes.xaxis, place is None or place.is_last_row()),
            (axes.yaxis, place is None or place.is_first_col()),
        ):
            ticks = [text.get_text() for text in axis.get_ticklabels()]
            numbers = any(ticks) and not any(map(str.isalpha, ''.join(ticks)))
            # A colour bar has one axis, and an empty one across.
            bar = axes.get_label() == '<colorbar>'
            if axes.axison and outer and not bar:
                assert any(ticks), f'{axis} has no ticks'
            if axes.axison and axis.get_visible() and outer and numbers:
                name = axes.get_ylabel() if bar else axis.get_label_text()
                assert name, f'{axis} has no label'
    for (one, a), (two, b) in combinations(boxes, 2):
        if two not in one.get_shared_x_axes().get_siblings(one):
            both = Bbox.intersection(a, b)
            assert not both or min(both.size) < 3, f'{one} hides {two}'
