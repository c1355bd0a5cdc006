"""What paper.refinement measures of a RefineDet."""

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from mmdet.structures import DetDataSample
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from paper.refinement import (
    Refinement,
    plot_refinements,
    refinements,
    time_parts,
)

from tests.test_models.test_refinedet import small


@pytest.fixture(autouse=True)
def mmdet_scope():
    init_default_scope('mmdet')


@pytest.fixture(scope='module')
def item():
    """An image that was twice as large, with an object on an anchor."""
    truth = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 72, 72]]), labels=torch.tensor([1])
    )
    sample = DetDataSample(
        gt_instances=truth,
        metainfo=dict(
            img_shape=(64, 64), ori_shape=(128, 128), scale_factor=(0.5, 0.5)
        ),
    )
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    return dict(inputs=image, data_samples=sample)


def test_overlaps_by_hand(item):
    """An anchor (4, 4, 36, 36) is the object in the network's pixels."""
    model = small.build().eval()
    for conv in model.arm_head.delta_convs:
        conv.weight.data.zero_()
        conv.bias.data[0::4] = 0.125 / 0.1  # an eighth of the width
    (found,) = refinements(model, [item])
    torch.testing.assert_close(
        found.truth, torch.tensor([[4.0, 4.0, 36.0, 36.0]])
    )
    before, after = found.overlaps()
    best = before.argmax()
    assert before[best] == 1
    # 32 x 32, moved by 4
    assert after[best].item() == pytest.approx(28 / 36)


def test_picture(tmp_path):
    boxes = torch.tensor([[4.0, 4.0, 30.0, 30.0]])
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    one = Refinement(image, boxes, boxes - 2, boxes, torch.tensor([0]))
    plot_refinements([one] * 5, tmp_path / 'picture.png')
    picture = imread(tmp_path / 'picture.png')
    assert picture.std() > 0.05
    # The second column is of refined boxes: blue ones, above the white truth.
    width = picture.shape[1] // 6
    refined = picture[:, width : 2 * width]
    assert (refined[..., 2] - refined[..., 0]).max() > 0.4


def test_times_of_parts(item):
    model = small.build().eval()
    data = {key: [value] for key, value in item.items()}
    times = time_parts(model, data, repeats=2)
    assert list(times) == ['backbone', 'neck', 'first head', 'head', 'boxes']
    assert min(times.values()) > 0
