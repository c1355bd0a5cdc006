from functools import partial

import numpy as np
import pytest
from mmengine.registry import DATASETS
from PIL import Image
from pycocotools.coco import COCO

from mmvovnet.datasets import digits

pytest.importorskip('mmseg', reason='mmseg is not installed')
pytest.importorskip('sklearn')


def test_makes_its_data_on_first_use(tmp_path, monkeypatch):
    from mmvovnet.datasets import segmentation

    monkeypatch.setattr(
        segmentation,
        'prepare',
        partial(digits.prepare, num_train=2, num_val=3),
    )
    root = tmp_path / 'digits'
    dataset = DATASETS.build(
        dict(
            type='mmvovnet.DigitsSegmentation',
            data_root=str(root),
            data_prefix=dict(img_path='val', seg_map_path='labels/val'),
        )
    )
    assert len(dataset) == 3
    assert dataset.metainfo['classes'] == ('photograph', *digits.CLASSES)
    assert len(dataset.metainfo['palette']) == 11
    info = dataset.get_data_info(0)
    assert info['img_path'] == str(root / 'val/0000.png')
    assert info['seg_map_path'] == str(root / 'labels/val/0000.png')


def test_classes_are_those_of_the_masks(tmp_path):
    digits.prepare(tmp_path / 'digits', num_train=1, num_val=2)
    coco = COCO(tmp_path / 'digits' / 'val.json')
    for image in coco.loadImgs(coco.getImgIds()):
        path = tmp_path / 'digits' / 'labels' / 'val' / image['file_name']
        expected = np.zeros((digits.SIZE, digits.SIZE), np.uint8)
        for ann in coco.loadAnns(coco.getAnnIds(imgIds=image['id'])):
            expected[coco.annToMask(ann) > 0] = 1 + ann['category_id']
        assert np.array_equal(np.array(Image.open(path)), expected)
        assert expected.any()
