from functools import partial

import pytest
from mmengine.registry import DATASETS

from mmvovnet.datasets import digits

pytest.importorskip('mmdet')
pytest.importorskip('sklearn')


def test_makes_its_data_on_first_use(tmp_path, monkeypatch):
    monkeypatch.setattr(
        'mmvovnet.datasets.detection.prepare',
        partial(digits.prepare, num_train=2, num_val=3),
    )
    dataset = DATASETS.build(
        dict(
            type='mmvovnet.DigitsDetection',
            data_root=str(tmp_path / 'digits'),
            ann_file='val.json',
            data_prefix=dict(img='val/'),
            test_mode=True,
        )
    )
    assert len(dataset) == 3
    assert dataset.metainfo['classes'] == digits.CLASSES
    info = dataset.get_data_info(0)
    assert info['instances']
    assert info['img_path'] == str(tmp_path / 'digits' / 'val' / '0000.png')
