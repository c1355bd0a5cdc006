"""The demo data: real handwritten digits on real photographs.

Both come with scikit-learn: 1,797 scans of 8x8 pixels (Alpaydin and Kaynak,
"Cascading Classifiers", 1998) and two photographs. Nothing is downloaded.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
from filelock import FileLock
from numpy.random import Generator
from PIL import Image

from mmvovnet.fileio import part_folder

Sides = tuple[int, int]

CLASSES = tuple('0123456789')
SIZE = 128  # side of a detection image in pixels
MANIFEST = 'digits-manifest.json'
# The last fifth of the scans is by other hands.
_SCANS = {'train': slice(0, 1437), 'val': slice(1437, None)}
_REGIONS = {'train': slice(0, 384), 'val': slice(384, 640)}
_VISIBLE = 64  # opacity, of 255, from which a pixel belongs to the digit


def load_scans(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Load the scans of a split, 'train' or 'val', and their digits.

    The scans are uint8 of shape (N, 8, 8) with ink at 255.

    Example:
        >>> scans, labels = load_scans('val')
        >>> scans.shape, int(labels.max())
        ((360, 8, 8), 9)
    """
    digits = _sklearn().load_digits()
    scans = np.minimum(digits.images * 16, 255).astype(np.uint8)
    return scans[_SCANS[split]], digits.target[_SCANS[split]]


def load_regions(split: str) -> list[np.ndarray]:
    """Load a split's part of each photograph, RGB, darkened."""
    photos = _sklearn().load_sample_images().images
    return [photo[:, _REGIONS[split]] // 2 for photo in photos]


def prepare(
    root: str | os.PathLike,
    num_train: int = 500,
    num_val: int = 100,
    sides: Sides = (22, 52),
) -> None:
    """Make the COCO data in ``root``, unless it is there and whole.

    It is the same bytes everywhere. Objects have boxes and exact masks;
    ``labels/`` holds images of classes, for semantic segmentation: 0 where
    there is none, 1 more than the digit where there is one.

    Data of other arguments or other code is made again, and ``root`` never
    holds a part of the data. Several processes may call this at once.

    Args:
        root: Folder that holds nothing but this data.
        num_train: Number of training images.
        num_val: Number of validation images.
        sides: Least and greatest side in pixels to which a scan is scaled.

    Raises:
        FileExistsError: If ``root`` holds anything but this data.
        ImportError: If the data must be made and scikit-learn is missing.
    """
    root = Path(root).resolve()
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    recipe = {'code': code, 'numbers': [num_train, num_val], 'sides': [*sides]}
    if _is_made(root, recipe):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_name(f'{root.name}.lock')):
        if _is_made(root, recipe):  # another process made it
            return
        if root.exists() and not (root / MANIFEST).exists():
            raise FileExistsError(
                f"'{root}' exists and is not the demo data: name another "
                'data_root, or remove the folder to have the data made there'
            )
        with part_folder(root) as work:
            _make(work / 'new', 'train', num_train, sides)
            _make(work / 'new', 'val', num_val, sides)
            (work / 'new' / MANIFEST).write_text(json.dumps(recipe))
            if root.exists():
                os.replace(root, work / 'old')
            os.replace(work / 'new', root)


def _is_made(root: Path, recipe: dict) -> bool:
    try:
        return json.loads((root / MANIFEST).read_text()) == recipe
    except (OSError, ValueError):
        return False


def _make(root: Path, split: str, number: int, sides: Sides) -> None:
    from pycocotools import mask as coco_mask  # classifiers do without

    scans, labels = load_scans(split)
    regions = load_regions(split)
    rng = np.random.default_rng((0, ['train', 'val'].index(split)))
    folders = root / split, root / 'labels' / split
    for folder in folders:
        folder.mkdir(parents=True)
    images: list[dict] = []
    annotations: list[dict] = []
    for image_id in range(number):
        image = _crop(regions, rng)
        classes = np.zeros((SIZE, SIZE), np.uint8)
        for index, (x, y), alpha in _place_digits(image, scans, rng, sides):
            height, width = alpha.shape
            mask = np.zeros((SIZE, SIZE), np.uint8, order='F')
            mask[y : y + height, x : x + width] = alpha > 0
            classes[mask > 0] = 1 + labels[index]
            runs = coco_mask.encode(mask)
            annotation = {
                'id': len(annotations) + 1,  # pycocotools: 0 is no match
                'image_id': image_id,
                'category_id': int(labels[index]),
                'bbox': [x, y, width, height],
                'segmentation': runs | {'counts': runs['counts'].decode()},
                'area': int(mask.sum()),
                'iscrowd': 0,
            }
            annotations.append(annotation)
        name = f'{image_id:04d}.png'
        for folder, pixels in zip(folders, (image, classes), strict=True):
            # Stored, not deflated: the same bytes by any zlib.
            Image.fromarray(pixels).save(folder / name, compress_level=0)
        size = {'width': SIZE, 'height': SIZE}
        images.append({'id': image_id, 'file_name': name, **size})
    categories = [{'id': i, 'name': name} for i, name in enumerate(CLASSES)]
    coco = {'images': images, 'annotations': annotations}
    content = json.dumps(coco | {'categories': categories})
    (root / f'{split}.json').write_text(content)


def _crop(regions: list[np.ndarray], rng: Generator) -> np.ndarray:
    """Cut a random square out of a photograph, resized to SIZE x SIZE x 3."""
    region = regions[rng.integers(len(regions))]
    height, width = region.shape[:2]
    side = int(rng.integers(SIZE, min(height, width) + 1))
    top = rng.integers(height - side + 1)
    left = rng.integers(width - side + 1)
    crop = Image.fromarray(region[top : top + side, left : left + side])
    return np.array(crop.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def _place_digits(
    image: np.ndarray, scans: np.ndarray, rng: Generator, sides: Sides
) -> Iterator[tuple[int, tuple[int, int], np.ndarray]]:
    """Draw digits whose boxes do not overlap: index, corner and opacity."""
    free = np.ones(image.shape[:2], bool)
    for _ in range(rng.integers(6, 40)):
        index = int(rng.integers(len(scans)))
        alpha = _glyph(scans[index], rng, sides)
        height, width = alpha.shape
        top = int(rng.integers(SIZE - height + 1))
        left = int(rng.integers(SIZE - width + 1))
        place = slice(top, top + height), slice(left, left + width)
        if free[place].all():
            free[place] = False
            _blend(image[place], alpha, rng)
            yield index, (left, top), alpha


def _glyph(scan: np.ndarray, rng: Generator, sides: Sides) -> np.ndarray:
    """Scale and turn a scan; return the opacity (H, W), cut to the digit."""
    side = int(rng.integers(sides[0], sides[1] + 1))
    glyph = (
        Image.fromarray(np.pad(scan, 1))
        .resize((side, side), Image.Resampling.BICUBIC)
        .rotate(int(rng.integers(-15, 16)), Image.Resampling.BICUBIC, True)
    )
    alpha = np.array(glyph)
    alpha[alpha < _VISIBLE] = 0
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    return alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _blend(patch: np.ndarray, alpha: np.ndarray, rng: Generator) -> None:
    """Paint ``patch`` (H, W, 3) in place, in a bright colour."""
    colour = rng.integers(128, 256, 3)
    alpha = alpha[..., None].astype(int)
    patch[:] = (patch * (255 - alpha) + colour * alpha + 127) // 255


def _sklearn() -> ModuleType:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            'the demo data comes with scikit-learn: pip install scikit-learn'
        ) from error
    return datasets
