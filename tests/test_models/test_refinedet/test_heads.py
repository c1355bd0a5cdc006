"""The rules of RefineDet, on numbers worked out by hand."""

import sys
from math import log

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmvovnet.models.refinedet import ARMHead, ODMHead

from .small import ANCHORS, MATCHING

ONE = dict(
    type='AnchorGenerator',
    scales=[4],
    ratios=[1.0],
    strides=[8],
    centers=[(4, 4)],
)
META = [dict(img_shape=(64, 64))]


def arm(**kwargs):
    return ARMHead(
        in_channels=[8], anchor_generator=ONE, train_cfg=MATCHING, **kwargs
    )


def odm(num_classes=2, **kwargs):
    return ODMHead(
        num_classes=num_classes,
        in_channels=[8],
        anchor_generator=ONE,
        train_cfg=MATCHING,
        **kwargs,
    )


def truth(*boxes, labels=None):
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float).view(-1, 4),
        labels=torch.tensor(labels or [0] * len(boxes)),
    )


def as_map(rows):
    """Rows of one value per channel, (P, C), as a map (1, C, 1, P)."""
    return torch.tensor(rows, dtype=torch.float).t()[None, :, None]


@pytest.mark.parametrize(('size', 'count'), [(320, 6375), (512, 16320)])
def test_anchors(size, count):
    head = ARMHead(in_channels=[8] * 4, anchor_generator=ANCHORS)
    maps = [torch.zeros(1, 1, size // s, size // s) for s in (8, 16, 32, 64)]
    anchors = head.anchors(maps)
    assert anchors.shape == (count, 4)
    # the second cell of the first row: centre (12, 4), 32 pixels
    wide, high = 32 * 2**0.5 / 2, 32 / 2**0.5 / 2
    expected = [
        [12 - 16, 4 - 16, 12 + 16, 4 + 16],
        [12 - wide, 4 - high, 12 + wide, 4 + high],
        [12 - high, 4 - wide, 12 + high, 4 + wide],
    ]
    torch.testing.assert_close(anchors[3:6], torch.tensor(expected))
    # the last cell of the coarsest map: 256 pixels
    torch.testing.assert_close(
        anchors[-3],
        torch.tensor([-128.0, -128.0, 128.0, 128.0]) + size - 32,
    )


def test_refined_anchors():
    """From (4, 4), 32 x 32, by variances 0.1 and 0.2; nothing is clipped."""
    deltas = as_map([[1.0, -0.5, log(2) / 0.2, 0.0]]).requires_grad_()
    boxes, objectness = arm().refine([as_map([[0.0, log(3)]])], [deltas])
    x, y = 4 + 0.1 * 32, 4 - 0.05 * 32
    expected = [[[x - 32, y - 16, x + 32, y + 16]]]
    torch.testing.assert_close(boxes, torch.tensor(expected))
    torch.testing.assert_close(objectness, torch.tensor([[0.25]]))
    assert not boxes.requires_grad


# One object, of class 1, which the first prior covers exactly.
PRIORS = torch.tensor(
    [[[0.0, 0.0, 10.0, 10.0]] + [[50.0, 50.0, 60.0, 60.0]] * 5]
)
OBJECT = truth([0, 0, 10, 10], labels=[1])


def background_loss(logit):
    """Of two classes with logits 0, and the background with this one."""
    return log(2 + torch.tensor(logit).exp().item()) - logit


def test_three_hard_negatives_for_each_positive():
    logits = [0.0, 3.0, -1.0, 1.0, -2.0, 2.0]  # of the background
    scores = torch.zeros(1, 6, 3)
    scores[..., 2] = torch.tensor(logits)
    deltas = torch.tensor([0.5, 2.0, 0.0, 0.0]).expand(1, 6, 4)
    loss_cls, loss_bbox = odm().multibox_loss(
        scores, deltas, PRIORS, [OBJECT], [None]
    )
    expected = log(3) + sum(map(background_loss, (-1.0, -2.0, 1.0)))
    assert loss_cls.item() == pytest.approx(expected, rel=1e-5)
    assert loss_bbox.item() == pytest.approx(0.5 * 0.25 + 1.5, rel=1e-5)


def test_negatives_that_look_like_background_are_filtered():
    logits = [0.0, 3.0, -1.0, 1.0, -2.0, 2.0]
    # 0.0099 and less are filtered, the positive is not
    objectness = torch.tensor([[0.001, 0.01, 0.0099, 0.5, 0.009, 0.5]])
    losses = odm().loss_by_feat(
        [as_map([[0.0, 0.0, logit] for logit in logits])],
        [torch.zeros(1, 4, 1, 6)],
        PRIORS,
        objectness,
        [OBJECT],
        [None],
    )
    expected = log(3) + sum(map(background_loss, (1.0, 2.0, 3.0)))
    assert losses['loss_odm_cls'].item() == pytest.approx(expected, rel=1e-5)


def test_sums_are_divided_by_the_positives_of_the_batch():
    """Of one, two and no positives in three images."""
    priors = PRIORS.repeat(3, 1, 1)
    priors[1, 1] = torch.tensor([0.0, 0.0, 10.0, 9.0])  # overlap 0.9
    scores = torch.zeros(3, 6, 3)
    truths = [OBJECT, OBJECT, truth()]
    loss_cls, _ = odm().multibox_loss(
        scores, torch.zeros(3, 6, 4), priors, truths, [None] * 3
    )
    chosen = (1 + 3) + (2 + 4) + 0  # the second has four negatives only
    assert loss_cls.item() == pytest.approx(chosen * log(3) / 3, rel=1e-5)


def test_priors_in_objects_to_ignore_are_no_negatives():
    """Of five negatives, two lie by more than half in a crowd."""
    priors = PRIORS.clone()
    priors[0, 1] = torch.tensor([100.0, 0.0, 110.0, 10.0])
    priors[0, 2] = torch.tensor([104.0, 0.0, 114.0, 10.0])
    priors[0, 3] = torch.tensor([106.0, 0.0, 116.0, 10.0])  # by 0.4
    scores = torch.zeros(1, 6, 3)
    scores[..., 2] = torch.tensor([0.0, -3.0, -4.0, -2.0, 1.0, 2.0])
    crowd = truth([90, 0, 110, 100])
    loss_cls, _ = odm().multibox_loss(
        scores, torch.zeros(1, 6, 4), priors, [OBJECT], [crowd]
    )
    expected = log(3) + sum(map(background_loss, (-2.0, 1.0, 2.0)))
    assert loss_cls.item() == pytest.approx(expected, rel=1e-5)


def test_positives_of_all_processes_count(monkeypatch):
    """Two processes, of which the other has three positives."""
    args = torch.zeros(1, 6, 3), torch.zeros(1, 6, 4), PRIORS, [OBJECT], [None]
    alone = odm().multibox_loss(*args)[0]
    module = sys.modules[odm().multibox_loss.__module__]
    monkeypatch.setattr(module, 'reduce_mean', lambda x: (x + 3) / 2)
    assert odm().multibox_loss(*args)[0].item() == pytest.approx(
        alone.item() / 2
    )


def test_predictors_start_small():
    head = odm(num_classes=80)
    head.init_weights()
    for conv in (*head.score_convs, *head.delta_convs):
        assert conv.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert conv.bias.abs().max() == 0


def test_each_head_counts_its_own_positives():
    """The overlaps are 0.78 and 0.48 before refinement, 1 and 0.94 after."""
    first, second = arm(), odm()
    scores, deltas = as_map([[0.0, 0.0]] * 2), torch.zeros(1, 4, 1, 2)
    box = truth([-14, -14, 18, 18], labels=[1])
    arm_losses = first.loss_by_feat([scores], [deltas], [box], [None])
    refined = torch.tensor([[[-14.0, -14, 18, 18], [-13.0, -13, 18, 18]]])
    odm_losses = second.loss_by_feat(
        [as_map([[0.0, 0.0, 0.0]] * 2)],
        [deltas],
        refined,
        torch.ones(1, 2),
        [box],
        [None],
    )
    # one positive, one negative; then two positives
    assert arm_losses['loss_arm_cls'].item() == pytest.approx(2 * log(2))
    assert odm_losses['loss_odm_cls'].item() == pytest.approx(log(3))
    # the targets of the second are relative to its own boxes
    offset = [0.5 / 31 / 0.1] * 2 + [log(32 / 31) / 0.2] * 2
    expected = sum(0.5 * x * x for x in offset) / 2
    assert odm_losses['loss_odm_bbox'].item() == pytest.approx(
        expected, rel=1e-4
    )


def test_the_first_head_knows_no_classes():
    box = truth([-16, -12, 16, 20], labels=[1])
    scores = as_map([[log(3), 0.0], [0.0, log(3)]])
    losses = arm().loss_by_feat(
        [scores], [torch.zeros(1, 4, 1, 2)], [box], [None]
    )
    expected = 2 * log(4 / 3)
    assert losses['loss_arm_cls'].item() == pytest.approx(expected, rel=1e-5)
    # 4 pixels to the left of an anchor of 32
    bbox = 4 / 32 / 0.1 - 0.5
    assert losses['loss_arm_bbox'].item() == pytest.approx(bbox, rel=1e-5)


@pytest.mark.parametrize(
    'boxes', [(), ([30, 0, 40, 5],)], ids=['empty', 'no match']
)
def test_without_positives_the_losses_are_zero(boxes):
    scores = torch.zeros(1, 6, 3, requires_grad=True)
    deltas = torch.zeros(1, 6, 4, requires_grad=True)
    losses = odm().multibox_loss(
        scores, deltas, PRIORS, [truth(*boxes)], [None]
    )
    assert [loss.item() for loss in losses] == [0, 0]
    sum(losses).backward()
    assert scores.grad.count_nonzero() == deltas.grad.count_nonzero() == 0


@pytest.mark.parametrize('box', [[0, 5, 1000, 6], [5, 0, 6, 1000]])
def test_extreme_aspect_ratios(box):
    losses = odm().multibox_loss(
        torch.zeros(1, 6, 3),
        torch.zeros(1, 6, 4),
        PRIORS,
        [truth(box)],
        [None],
    )
    assert all(loss.isfinite() and loss > 0 for loss in losses)


TEST = dict(
    score_thr=0.01,
    nms_pre=1000,
    nms=dict(type='nms', iou_threshold=0.45),
    max_per_img=500,
)


def detect(scores, priors, objectness=None, **cfg):
    """Scores of (P, classes), as probabilities, on boxes of (P, 4)."""
    scores = torch.tensor(scores)
    rest = 1 - scores.sum(1, keepdim=True)
    logits = torch.cat([scores, rest], 1).clamp(min=1e-6).log()
    priors = torch.tensor(priors, dtype=torch.float)
    if objectness is None:
        objectness = [1.0] * len(priors)
    head = odm(scores.size(1), test_cfg=ConfigDict({**TEST, **cfg}))
    (result,) = head.predict_by_feat(
        [logits.t()[None, :, None]],
        [torch.zeros(1, 4, 1, len(priors))],
        priors[None],
        torch.tensor([objectness]),
        META,
    )
    return result


APART = [[20 * i, 0, 20 * i + 10, 10] for i in range(3)]


def test_refined_anchors_without_an_object_are_background():
    scores = [[0.9, 0.05], [0.8, 0.1], [0.3, 0.6]]
    result = detect(scores, APART, [0.0099, 0.01, 0.9])
    assert result.scores.tolist() == pytest.approx([0.8, 0.6, 0.3, 0.1])
    assert result.labels.tolist() == [0, 1, 0, 1]


def test_suppression_above_045():
    """Overlaps of 0.5, then of 0.43, with the best; classes apart."""
    boxes = [[0, 0, 10, 10], [0, 0, 5, 10], [0, 0, 4.3, 10]]
    result = detect([[0.9], [0.8], [0.7]], boxes)
    assert result.scores.tolist() == pytest.approx([0.9, 0.7])
    result = detect([[0.9, 0.0], [0.0, 0.8], [0.7, 0.0]], boxes)
    assert result.labels.tolist() == [0, 1, 0]


def test_limits():
    scores = [[0.5, 0.3], [0.6, 0.2], [0.7, 0.1]]
    # the best two of each class go into suppression
    result = detect(scores, APART, nms_pre=2)
    assert result.scores.tolist() == pytest.approx([0.7, 0.6, 0.3, 0.2])
    result = detect(scores, APART, max_per_img=3)
    assert result.scores.tolist() == pytest.approx([0.7, 0.6, 0.5])
    result = detect(scores, APART, score_thr=0.25)
    assert result.scores.tolist() == pytest.approx([0.7, 0.6, 0.5, 0.3])


def test_boxes_end_at_the_image():
    result = detect([[0.9]], [[-5, 10, 30, 80]])
    torch.testing.assert_close(
        result.bboxes, torch.tensor([[0.0, 10.0, 30.0, 64.0]])
    )


def test_boxes_are_clipped_after_suppression():
    """They overlap by 0.35 as they are, and by 0.70 within the image."""
    boxes = [[-40, 0, 16, 10], [-6, 0, 23, 10]]
    result = detect([[0.9], [0.8]], boxes)
    expected = torch.tensor([[0.0, 0, 16, 10], [0.0, 0, 23, 10]])
    torch.testing.assert_close(result.bboxes, expected)


def test_clipped_to_the_original_image():
    head = odm(1, test_cfg=ConfigDict(TEST))
    meta = dict(
        img_shape=(64, 64), ori_shape=(32, 48), scale_factor=(64 / 48, 2.0)
    )
    (result,) = head.predict_by_feat(
        [torch.zeros(1, 2, 1, 1)],
        [torch.zeros(1, 4, 1, 1)],
        torch.tensor([[[-8.0, -8.0, 80.0, 80.0]]]),
        torch.ones(1, 1),
        [meta],
        rescale=True,
    )
    expected = torch.tensor([[0.0, 0.0, 48.0, 32.0]])
    torch.testing.assert_close(result.bboxes, expected)


def test_nothing_found():
    result = detect([[0.005]], [[0, 0, 10, 10]])
    assert result.bboxes.shape == (0, 4)
