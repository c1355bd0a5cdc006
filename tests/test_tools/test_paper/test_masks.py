import pytest
import torch
from matplotlib.figure import Figure

pytest.importorskip('mmdet')

from paper.masks import (
    draw_agreement,
    mask_ious,
    match,
    predicted_and_true,
)

from tests.test_models.test_centermask import small


def test_match_wants_the_class_and_half_of_the_box():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [20, 20, 30, 24]])
    truth = torch.tensor([[0.0, 0, 10, 8], [20, 20, 30, 30]])
    index = match(boxes, torch.tensor([1, 2, 0]), truth, torch.tensor([1, 0]))
    assert index.tolist() == [0, -1, -1]
    assert match(boxes, torch.zeros(3), truth[:0], torch.zeros(0)).eq(-1).all()


def test_mask_ious():
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    truth = masks.clone()
    masks[0, :2], truth[0, :, :2] = True, True
    assert mask_ious(masks, truth).tolist() == pytest.approx([4 / 12, 0])


def test_of_a_model():
    """A true box for each detection: predicted over score is the IoU."""
    model = small.trained()
    data = small.batch(model, num_items=(3, 3), shape=(3, 192, 192))
    images = [
        dict(inputs=(i * 50 + 110).clamp(0, 255).byte(), data_samples=s)
        for i, s in zip(*data.values(), strict=True)
    ]
    for image in images:
        image['data_samples'].set_metainfo(
            dict(ori_shape=(192, 192), scale_factor=(1.0, 1.0))
        )
        found = model.test_step({k: [v] for k, v in image.items()})[0]
        truth = image['data_samples'].gt_instances
        truth.bboxes = found.pred_instances.bboxes[:3].clone()
        truth.labels = found.pred_instances.labels[:3].clone()
    predicted, true = predicted_and_true(model, images)
    assert len(predicted) == len(true) >= 6
    assert ((true >= 0) & (true <= 1)).all()
    figure = Figure()
    draw_agreement(figure, predicted.detach(), true)
    assert f'{len(true)} masks' in figure.axes[0].get_title()
