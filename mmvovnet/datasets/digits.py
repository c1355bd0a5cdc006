"""The demo data: real handwritten digits on real photographs.

Both come with scikit-learn: 1,797 scans of 8x8 pixels (Alpaydin and Kaynak,
"Cascading Classifiers", 1998) and two photographs. Nothing is downloaded.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

CLASSES = tuple('0123456789')

SIZE = 128  # side of a detection image in pixels
MANIFEST = 'digits-manifest.json'
# The last fifth of the scans is by other hands.
_SCANS = {'train': slice(0, 1437), 'val': slice(1437, None)}
_REGIONS = {'train': slice(0, 384), 'val': slice(384, 640)}
_VISIBLE = 64  # opacity, of 255, from which a pixel belongs to the digit


def load_scans(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Load the scans of a split.

    Args:
        split: 'train' or 'val'; no scan is in both.

    Returns:
        The scans, uint8 of shape (N, 8, 8) with ink at 255, and their
        digits, int64 of shape (N,).

    Example:
        >>> scans, labels = load_scans('val')
        >>> scans.shape, int(labels.max())
        ((360, 8, 8), 9)
    """
    digits = _sklearn_datasets().load_digits()
    scans = np.minimum(digits.images * 16, 255).astype(np.uint8)
    return scans[_SCANS[split]], digits.target[_SCANS[split]]


def load_regions(split: str) -> list[np.ndarray]:
    """Load a split's part of each photograph, darkened for bright digits.

    Args:
        split: 'train' (the left of each) or 'val' (the right of each).

    Returns:
        RGB images, uint8 of shape (H, W, 3).
    """
    photos = _sklearn_datasets().load_sample_images().images
    return [photo[:, _REGIONS[split]] // 2 for photo in photos]


def prepare(
    root: str | os.PathLike,
    seed: int = 0,
    num_train: int = 500,
    num_val: int = 100,
    sides: tuple[int, int] = (22, 52),
) -> None:
    """Make the COCO data in ``root``, unless it is there and whole.

    Objects have boxes and exact masks, the pixels that were painted. For
    semantic segmentation, ``labels/train`` and ``labels/val`` hold an image
    of classes for each image: 0 where there is none, 1 more than the digit
    where there is one.

    A manifest names the recipe; the data of another recipe is made again, in
    a folder of its own that then replaces ``root``, so that it never holds a
    part of the data. Several processes may call this at once.

    Args:
        root: Folder that holds nothing but this data.
        seed: The same seed makes the same bytes.
        num_train: Number of training images.
        num_val: Number of validation images.
        sides: Least and greatest side in pixels to which a scan is scaled.

    Raises:
        FileExistsError: If ``root`` holds anything but this data.
        ImportError: If the data must be made and scikit-learn is missing.
    """
    root = Path(root).resolve()
    recipe = {
        'code': hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
        'seed': seed,
        'num_train': num_train,
        'num_val': num_val,
        'sides': list(sides),
    }
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
        work = root.with_name(f'.{root.name}.tmp')
        shutil.rmtree(work, ignore_errors=True)
        _make(work / 'new', recipe)
        if root.exists():
            os.replace(root, work / 'old')
        os.replace(work / 'new', root)
        shutil.rmtree(work)


def _is_made(root: Path, recipe: dict) -> bool:
    try:
        return json.loads((root / MANIFEST).read_text()) == recipe
    except (OSError, ValueError):
        return False


def _make(root: Path, recipe: dict) -> None:
    for stream, split in enumerate(('train', 'val')):
        rng = np.random.default_rng((recipe['seed'], stream))
        _make_split(root, split, recipe[f'num_{split}'], rng, recipe['sides'])
    (root / MANIFEST).write_text(json.dumps(recipe))


def _make_split(
    root: Path,
    split: str,
    num_images: int,
    rng: np.random.Generator,
    sides: tuple[int, int],
) -> None:
    from pycocotools import mask as coco_mask

    scans, labels = load_scans(split)
    regions = load_regions(split)
    (root / split).mkdir(parents=True)
    (root / 'labels' / split).mkdir(parents=True)
    images: list[dict] = []
    annotations: list[dict] = []
    for image_id in range(num_images):
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
        # Stored, not deflated: the same bytes whichever zlib is installed.
        Image.fromarray(image).save(root / split / name, compress_level=0)
        Image.fromarray(classes).save(
            root / 'labels' / split / name, compress_level=0
        )
        images.append(
            {'id': image_id, 'file_name': name, 'width': SIZE, 'height': SIZE}
        )
    categories = [{'id': i, 'name': name} for i, name in enumerate(CLASSES)]
    coco = {'images': images, 'annotations': annotations}
    content = json.dumps(coco | {'categories': categories})
    (root / f'{split}.json').write_text(content)


def _crop(regions: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Cut a random square out of a photograph, resized to SIZE x SIZE x 3."""
    region = regions[rng.integers(len(regions))]
    height, width = region.shape[:2]
    side = int(rng.integers(SIZE, min(height, width) + 1))
    top = rng.integers(height - side + 1)
    left = rng.integers(width - side + 1)
    crop = Image.fromarray(region[top : top + side, left : left + side])
    return np.array(crop.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def _place_digits(
    image: np.ndarray,
    scans: np.ndarray,
    rng: np.random.Generator,
    sides: tuple[int, int],
) -> list[tuple[int, tuple[int, int], np.ndarray]]:
    """Draw digits whose boxes don't overlap; return index, corner, opacity."""
    free = np.ones(image.shape[:2], bool)
    placed = []
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
            placed.append((index, (left, top), alpha))
    return placed


def _glyph(
    scan: np.ndarray, rng: np.random.Generator, sides: tuple[int, int]
) -> np.ndarray:
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


def _blend(
    patch: np.ndarray, alpha: np.ndarray, rng: np.random.Generator
) -> None:
    """Paint ``patch`` (H, W, 3) in place, in a bright colour."""
    colour = rng.integers(128, 256, 3)
    alpha = alpha[..., None].astype(int)
    patch[:] = (patch * (255 - alpha) + colour * alpha + 127) // 255


def _sklearn_datasets():
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            'the demo data is made of digits and photographs of scikit-learn, '
            'which is missing: pip install scikit-learn'
        ) from error
    return datasets
