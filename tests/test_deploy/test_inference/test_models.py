import numpy as np
import torch

from mmvovnet.deploy import Exported
from mmvovnet.deploy.inference.detector import Detector
from mmvovnet.deploy.inference.models import FileDetector

from .test_detector import INFO


def test_an_exported_detector_is_tested_on_the_images_of_a_batch(tmp_path):
    """A metric finds its boxes, in the pixels of each image's file."""
    import mmcv
    from mmengine.structures import BaseDataElement

    def run(images):
        count = len(images)
        boxes = torch.tensor([[8.0, 8, 16, 24]]).repeat(count, 1)
        ones, ids = torch.ones(count, dtype=torch.long), torch.arange(count)
        return boxes, images.mean(axis=(1, 2, 3)), ones, ids

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
