import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmvovnet.deploy.inference.coco import _runs, coco_ids


@pytest.mark.parametrize('share', [0, 0.01, 0.5, 1])
def test_masks_in_json_are_cocos(share):
    mask = np.random.default_rng(0).random((70, 90)) < share
    runs = _runs(mask)
    expected = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    assert runs == {**expected, 'counts': expected['counts'].decode()}


@pytest.mark.parametrize(
    'text',
    [
        '[]',
        '{"images": []}',
        '{"categories": []}',
        '{"images": [], "categories": ["cell"]}',
        '{"images": [{"id": 1}], "categories": []}',
        '{"images": null, "categories": []}',
        '<!DOCTYPE html>',
    ],
)
def test_what_is_not_cocos_json_is_refused(text, tmp_path):
    path = tmp_path / 'truth.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=r"truth\.json' is not COCO's JSON"):
        coco_ids(path, ['a.png'], ['cell'])
