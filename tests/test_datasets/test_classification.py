import numpy as np
import pytest
from mmengine.registry import DATASETS

from mmvovnet.datasets import digits

pytest.importorskip('sklearn')


@pytest.mark.parametrize(('split', 'size'), [('train', 1437), ('val', 360)])
def test_holds_the_scans_of_its_split(split, size):
    dataset = DATASETS.build(
        dict(type='mmvovnet.DigitsClassification', split=split)
    )
    scans, labels = digits.load_scans(split)
    assert len(dataset) == size
    assert dataset.metainfo['classes'] == digits.CLASSES
    sample = dataset[size - 1]
    assert np.array_equal(sample['img'][..., 0], scans[-1])
    assert sample['gt_label'] == labels[-1]
