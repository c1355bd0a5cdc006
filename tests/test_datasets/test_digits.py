import json
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from mmvovnet.datasets import digits

pytest.importorskip('sklearn')

prepare = partial(digits.prepare, num_train=6, num_val=4)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'digits'
    prepare(root)
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / 'digits')


def contents(root):
    return {
        path.relative_to(root): path.read_bytes()
        for path in root.rglob('*')
        if path.is_file()
    }


def test_no_scan_is_in_both_splits():
    train, val = (
        {scan.tobytes() for scan in digits.load_scans(split)[0]}
        for split in ('train', 'val')
    )
    assert len(train) + len(val) > 1700
    assert not train & val


def test_scans_hold_every_digit_in_both_splits():
    for split in ('train', 'val'):
        scans, labels = digits.load_scans(split)
        assert scans.shape == (len(labels), 8, 8)
        assert set(labels) == set(range(10))


def test_regions_are_disjoint_parts_of_the_photographs():
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images
    pairs = zip(
        digits.load_regions('train'), digits.load_regions('val'), strict=True
    )
    for photo, (train, val) in zip(photos, pairs, strict=True):
        joined = np.concatenate([train, val], axis=1)
        assert np.array_equal(joined, photo // 2)


@pytest.mark.parametrize(('split', 'num_images'), [('train', 6), ('val', 4)])
def test_is_valid_coco(made, split, num_images):
    coco = COCO(made / f'{split}.json')
    assert len(coco.imgs) == num_images
    assert [cat['name'] for cat in coco.cats.values()] == list('0123456789')
    assert min(coco.anns) == 1
    for image in coco.imgs.values():
        size = Image.open(made / split / image['file_name']).size
        assert size == (image['width'], image['height'])
        assert coco.getAnnIds(imgIds=image['id'])
    for ann in coco.anns.values():
        x, y, width, height = ann['bbox']
        assert 0 <= x < x + width <= digits.SIZE
        assert 0 <= y < y + height <= digits.SIZE
        mask = coco.annToMask(ann)
        assert ann['area'] == mask.sum() > 0
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        assert [rows[0], rows[-1] + 1] == [y, y + height]
        assert [columns[0], columns[-1] + 1] == [x, x + width]


def test_boxes_are_tight_and_apart():
    scans, _ = digits.load_scans('train')
    rng = np.random.default_rng(0)
    image = np.zeros((digits.SIZE, digits.SIZE, 3), np.uint8)
    placed = list(digits._place_digits(image, scans, rng, (22, 52)))
    assert len(placed) > 2
    for _, (x, y), alpha in placed:
        height, width = alpha.shape
        patch = image[y : y + height, x : x + width].any(axis=2)
        assert patch[0].any() and patch[-1].any()
        assert patch[:, 0].any() and patch[:, -1].any()
        image[y : y + height, x : x + width] = 0
    assert not image.any()


def test_masks_are_what_was_painted():
    scans, _ = digits.load_scans('train')
    image = np.zeros((digits.SIZE, digits.SIZE, 3), np.uint8)
    rng = np.random.default_rng(0)
    placed = list(digits._place_digits(image, scans, rng, (22, 52)))
    for _, (x, y), alpha in placed:
        height, width = alpha.shape
        patch = image[y : y + height, x : x + width]
        assert np.array_equal(alpha > 0, patch.any(axis=2))
        assert alpha[alpha > 0].min() >= 64  # a quarter opaque


def test_paint_is_mixed_to_the_nearest_value():
    patch = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, 2)
    patch = patch.repeat(192, 1)
    colour = np.random.default_rng(0).integers(128, 256, 3)
    alpha = np.arange(64, 256, dtype=np.uint8)[None].repeat(256, 0)
    share = alpha[..., None] / 255
    expected = np.rint(patch * (1 - share) + share * colour)
    digits._blend(patch, alpha, np.random.default_rng(0))
    assert np.array_equal(patch, expected)


def test_images_are_stored_as_they_are(made):
    for path in made.rglob('*.png'):
        assert path.stat().st_size > len(Image.open(path).tobytes())


def test_sides():
    scans, _ = digits.load_scans('train')
    rng = np.random.default_rng(0)
    large = digits._glyph(scans[0], rng, (100, 100))
    assert 60 < max(large.shape) <= 130


def test_whole_data_is_left_alone(root):
    before = root.stat().st_ino
    prepare(root)
    assert root.stat().st_ino == before


def test_another_recipe_is_made_again(root):
    (root / 'val.json').unlink()
    digits.prepare(root, num_train=2, num_val=1)
    assert (root / 'val.json').exists()
    assert len(json.loads((root / 'train.json').read_text())['images']) == 2


def test_killed_while_making(made, tmp_path):
    gone = subprocess.Popen([sys.executable, '-S', '-c', ''])
    gone.wait()
    half = tmp_path / f'digits.{gone.pid}.part' / 'new' / 'train'
    half.mkdir(parents=True)
    (half / '0000.png').write_bytes(b'half')
    prepare(tmp_path / 'digits')
    assert contents(tmp_path / 'digits') == contents(made)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {'digits', 'digits.lock'}


def test_failure_leaves_nothing(tmp_path, monkeypatch):
    def full_disk(*args):
        raise OSError('No space left on device')

    monkeypatch.setattr(digits, '_blend', full_disk)
    with pytest.raises(OSError, match='No space'):
        prepare(tmp_path / 'digits')
    assert [path.name for path in tmp_path.iterdir()] == ['digits.lock']


def test_foreign_folder_is_refused(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'photo.png').write_bytes(b'precious')
    with pytest.raises(FileExistsError, match='not the demo data'):
        prepare(tmp_path / 'mine')
    assert (tmp_path / 'mine' / 'photo.png').read_bytes() == b'precious'


def test_processes_at_once(made, tmp_path):
    with ProcessPoolExecutor(3) as pool:
        list(pool.map(prepare, [tmp_path / 'digits'] * 3))
    assert contents(tmp_path / 'digits') == contents(made)


def test_missing_sklearn_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn', None)
    with pytest.raises(ImportError, match='pip install scikit-learn'):
        prepare(tmp_path / 'digits')
