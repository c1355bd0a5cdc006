import pytest
import torch
from mmdet.models.task_modules.assigners import MaxIoUAssigner

from mmvovnet.models.refinedet import BipartiteAssigner

LABELS = torch.tensor([4, 7])


def assign(overlaps, pos=0.5, neg=0.5):
    overlaps = torch.tensor(overlaps)
    assigner = BipartiteAssigner(pos_iou_thr=pos, neg_iou_thr=neg)
    return assigner.assign_wrt_overlaps(overlaps, LABELS[: len(overlaps)])


@pytest.mark.parametrize(
    ('overlaps', 'expected'),
    [
        # two objects with the same best prior: the second takes what is left
        ([[0.9, 0.2, 0.0], [0.8, 0.1, 0.0]], [1, 2, 0]),
        ([[0.8, 0.2, 0.0], [0.9, 0.1, 0.0]], [2, 1, 0]),
        # a best prior below the threshold
        ([[0.3, 0.1, 0.0]], [1, 0, 0]),
        # all that overlap enough, each for what it overlaps most
        ([[0.9, 0.7, 0.6], [0.1, 0.6, 0.7]], [1, 1, 2]),
        # an object that touches nothing gets nothing
        ([[0.0, 0.0, 0.0], [0.0, 0.6, 0.0]], [0, 2, 0]),
        # more objects than priors
        ([[0.4], [0.6]], [2]),
    ],
)
def test_by_hand(overlaps, expected):
    result = assign(overlaps)
    assert result.gt_inds.tolist() == expected
    labels = [LABELS[i - 1].item() if i else -1 for i in expected]
    assert result.labels.tolist() == labels


def test_in_between_is_ignored():
    overlaps = [[0.8, 0.5, 0.72, 0.2]]
    assert assign(overlaps, 0.7, 0.3).gt_inds.tolist() == [1, -1, 1, 0]


def test_no_objects():
    overlaps = torch.zeros(0, 3)
    result = BipartiteAssigner(0.5, 0.5).assign_wrt_overlaps(
        overlaps, LABELS[:0]
    )
    assert result.gt_inds.tolist() == [0, 0, 0]


def test_mmdet_leaves_an_object_without():
    """What the class is for; it can go when this fails."""
    overlaps = torch.tensor([[0.9, 0.2, 0.0], [0.8, 0.1, 0.0]])
    stock = MaxIoUAssigner(0.5, 0.5, gt_max_assign_all=False)
    result = stock.assign_wrt_overlaps(overlaps, LABELS)
    assert result.gt_inds.tolist() == [2, 0, 0]
