import numpy as np
import pytest
import torch

from mmvovnet.deploy import Exported
from mmvovnet.deploy.inference.detect import (
    Detector,
    FileDetector,
    outputs,
)

INFO = dict(
    kind='detections',
    outputs=['boxes', 'scores', 'labels', 'image_ids'],
    mean=[10, 20, 30],
    std=[2, 4, 5],
    order='RGB',
    scale=[64, 64],
    divisor=32,
    iou_threshold=0.5,
    max_per_img=2,
)


def test_an_exported_detector_is_tested_on_the_images_of_a_batch(tmp_path):
    """A metric finds its boxes, in the pixels of each image's file."""
    import mmcv
    from mmengine.structures import BaseDataElement

    def run(images):
        box, one = torch.tensor([[8.0, 8, 16, 24]]), torch.tensor([1])
        return box, images.mean()[None], one, torch.zeros(1)

    samples = []
    for name, size in dict(a=64, b=128).items():
        path = str(tmp_path / f'{name}.png')
        mmcv.imwrite(np.full((size, size, 3), 99, np.uint8), path)
        samples.append(BaseDataElement(metainfo=dict(img_path=path)))
    model = FileDetector(Detector(Exported(INFO, run))).eval()
    found = model.test_step(dict(data_samples=samples))
    for sample, scale in zip(found, (1, 2), strict=True):
        expected = [[8 * scale, 8 * scale, 16 * scale, 24 * scale]]
        assert sample.pred_instances.bboxes.tolist() == expected
        assert sample.pred_instances.labels.tolist() == [1]
        assert len(sample.pred_instances.scores) == 1


def test_preprocessing_and_scale():
    """A 100 x 200 image becomes 32 x 64; boxes come back in its pixels."""
    seen = []

    def run(images):
        seen.append(images)
        boxes = torch.tensor(
            [[0, 0, 1, 1], [4, 8, 16, 24], [60, 0, 70, 40]]
        ).float()
        scores = torch.tensor([0.1, 0.7, 0.9])
        return boxes, scores, torch.tensor([0, 1, 2]), torch.zeros(3)

    image = np.full((100, 200, 3), (30, 60, 90), np.uint8)  # BGR
    boxes, scores, labels = Detector(Exported(INFO, run))(image)
    assert seen[0].shape == (1, 3, 32, 64)
    expected = torch.tensor([(90 - 10) / 2, (60 - 20) / 4, 0.0])
    torch.testing.assert_close(seen[0][0, :, 5, 5], expected)
    assert scores.tolist() == pytest.approx([0.9, 0.7])
    assert labels.tolist() == [2, 1]
    torch.testing.assert_close(
        boxes,
        torch.tensor(
            [[187.5, 0, 200, 100], [12.5, 25, 50, 75]], dtype=torch.float
        ),
    )


def test_suppression_is_per_class():
    def run(images):
        boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 11.0]])[None]
        scores = torch.tensor([[0.9, 0.8], [0.0, 0.7]])[None]
        return boxes, scores

    info = {**INFO, 'kind': 'boxes', 'outputs': ['all_boxes', 'all_scores']}
    image = np.zeros((64, 64, 3), np.uint8)
    _, scores, labels = Detector(Exported(info, run))(image)
    assert scores.tolist() == pytest.approx([0.9, 0.7])
    assert labels.tolist() == [0, 1]


def test_raw_outputs_are_refused():
    info = {**INFO, 'kind': 'raw'}
    with pytest.raises(ValueError, match="outputs are 'raw'; .*'detections'"):
        Detector(Exported(info, print))


@pytest.mark.parametrize(
    'images, expected',
    [
        (['a/1.png', 'a/2.png'], ['out/1.png', 'out/2.png']),
        (['a/1.png', 'b/1.png'], ['out/a/1.png', 'out/b/1.png']),
    ],
)
def test_a_picture_for_each_image(images, expected):
    assert [path.as_posix() for path in outputs(images, 'out')] == expected


@pytest.mark.parametrize(
    'images, said',
    [
        (['a/1.png'], 'one of the images and would be overwritten'),
        (['b/1.png', 'b/../b/1.png'], 'is given twice'),
    ],
)
def test_no_image_is_overwritten(images, said):
    with pytest.raises(ValueError, match=said):
        outputs(images, 'a')
