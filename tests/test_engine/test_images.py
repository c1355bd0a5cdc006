import os
from unittest.mock import patch

import pytest
from mmengine.registry import TRANSFORMS
from PIL import Image

from mmvovnet.engine.images import LoadImageFromFile

BROKEN = {
    'missing': lambda path: None,
    'empty': lambda path: path.touch(),
    'page': lambda path: path.write_text('<html></html>'),
    'folder': lambda path: path.mkdir(),
    'pipe': lambda path: os.mkfifo(path),
    'torn': lambda path: (
        Image.new('RGB', (64, 64)).save(path),
        path.write_bytes(path.read_bytes()[:40]),
    ),
}


@pytest.mark.parametrize('make', BROKEN.values(), ids=BROKEN)
def test_broken_image_is_named_or_left_out(tmp_path, make):
    path = tmp_path / 'image.png'
    make(path)
    with pytest.raises(RuntimeError, match=f"the image '{path}' cannot be"):
        LoadImageFromFile().transform(dict(img_path=path))
    lenient = LoadImageFromFile(ignore_empty=True)
    with patch('mmvovnet.engine.images.print_log') as log:
        assert lenient.transform(dict(img_path=path)) is None
    said = log.call_args.args[0]
    assert f"'{path}'" in said and 'left out' in said


def test_takes_the_place_of_mmcvs(tmp_path):
    assert TRANSFORMS.get('LoadImageFromFile') is LoadImageFromFile
    Image.new('RGB', (6, 4)).save(tmp_path / 'image.png')
    results = LoadImageFromFile().transform(
        dict(img_path=tmp_path / 'image.png')
    )
    assert results['img'].shape == (4, 6, 3)
