"""Data sets divided for training, validation and test."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from mmvovnet.fileio import write

PARTS = ('train', 'val', 'test')
Item = TypeVar('Item')


def divide(
    items: Sequence[Item], val: float, test: float, seed: int = 0
) -> dict[str, list[Item]]:
    """Draw three parts at random.

    Args:
        items (Sequence): What to divide. The same items in the same order
            give the same parts.
        val (float): Share of the validation.
        test (float): Share of the test, may be 0.
        seed (int): Defaults to 0.

    Returns:
        dict: The items of 'train', 'val' and 'test', in their order.

    Raises:
        ValueError: If a share is no share, or a part that should hold
            something is empty.

    Example:
        >>> parts = divide(range(10), val=0.2, test=0.1)
        >>> [len(part) for part in parts.values()]
        [7, 2, 1]
    """
    if not (0 < val < 1 and 0 <= test < 1 and val + test < 1):
        raise ValueError(
            f'val={val} and test={test} must be shares that leave some for '
            'the training'
        )
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    counts = round(len(items) * val), round(len(items) * test)
    drawn = {
        'val': order[: counts[0]],
        'test': order[counts[0] : sum(counts)],
        'train': order[sum(counts) :],
    }
    if not drawn['val'] or not drawn['train'] or (test and not drawn['test']):
        raise ValueError(f'{len(items)} images are too few for these shares')
    return {part: [items[i] for i in sorted(drawn[part])] for part in PARTS}


def split_voc(
    root: str | Path,
    val: float,
    test: float,
    seed: int = 0,
    ann_subdir: str = 'Annotations',
    img_subdir: str = 'JPEGImages',
) -> list[Path]:
    """Write ``ImageSets/Main/{train,val,test}.txt`` of a VOC folder.

    Args:
        root (str | Path): Folder with the two below.
        val (float): As of :func:`divide`.
        test (float): The same.
        seed (int): The same.
        ann_subdir (str): Folder of the XML files, as of ``XMLDataset``.
        img_subdir (str): Folder of the images.

    Returns:
        list[Path]: The files.

    Raises:
        FileNotFoundError: If there are no annotations, or one has no image.
    """
    root = Path(root)
    names = sorted(path.stem for path in Path(root, ann_subdir).glob('*.xml'))
    images = {path.stem for path in Path(root, img_subdir).glob('*.jpg')}
    if not names:
        raise FileNotFoundError(f"there is no '{root}/{ann_subdir}/*.xml'")
    if lost := [name for name in names if name not in images]:
        raise FileNotFoundError(
            f"'{root}/{img_subdir}' has no image of {', '.join(lost[:5])} "
            'whose name ends in .jpg: XMLDataset reads no others, convert them'
        )
    written = []
    for part, chosen in divide(names, val, test, seed).items():
        path = root / 'ImageSets' / 'Main' / f'{part}.txt'
        if chosen:
            write(path, ''.join(f'{name}\n' for name in chosen).encode())
            written.append(path)
    return written


def split_coco(
    path: str | Path, val: float, test: float, seed: int = 0
) -> list[Path]:
    """Split COCO's JSON into ``train.json``, ``val.json`` and ``test.json``.

    Args:
        path (str | Path): The annotations of all images.
        val (float): As of :func:`divide`.
        test (float): The same.
        seed (int): The same.

    Returns:
        list[Path]: The files.

    Raises:
        ValueError: If one of them would be ``path`` itself.
    """
    path = Path(path)
    if path.stem in PARTS:
        raise ValueError(f"'{path}' would be overwritten: rename it")
    everything: dict[str, Any] = json.loads(path.read_text())
    written = []
    for part, images in divide(everything['images'], val, test, seed).items():
        ids = {image['id'] for image in images}
        annotations = [
            a for a in everything['annotations'] if a['image_id'] in ids
        ]
        if images:
            target = path.with_name(f'{part}.json')
            kept = dict(images=images, annotations=annotations)
            write(target, json.dumps(everything | kept).encode())
            written.append(target)
    return written
