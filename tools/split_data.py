"""Divide a data set: ``python tools/split_data.py DATA --val 0.2 --test 0.1``.

DATA is a folder in Pascal VOC's form, or a JSON file of COCO's.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from mmvovnet.fileio import keep_apart, write

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
            f'val={val} and test={test} must be shares from 0 to 1 that leave '
            'some images for the training'
        )
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    first, second = (round(len(items) * share) for share in (val, test))
    drawn = {
        'train': order[first + second :],
        'val': order[:first],
        'test': order[first : first + second],
    }
    if not drawn['val'] or not drawn['train'] or (test and not drawn['test']):
        raise ValueError(
            f'{len(items)} images are too few for val={val} and test={test}'
        )
    return {part: [items[i] for i in sorted(drawn[part])] for part in PARTS}


def split_voc(
    root: str | Path,
    val: float,
    test: float,
    seed: int = 0,
    ann_subdir: str = 'Annotations',
    img_subdir: str = 'JPEGImages',
    overwrite: bool = False,
) -> list[Path]:
    """Write ``ImageSets/Main/{train,val,test}.txt`` of a VOC folder.

    ``val``, ``test`` and ``seed`` are those of :func:`divide`, and the folders
    in ``root`` those of mmdet's ``XMLDataset``.

    Raises:
        FileExistsError: If one of them is there, and ``overwrite`` not True.
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
    parts = {
        root / 'ImageSets' / 'Main' / f'{part}.txt': ''.join(
            f'{name}\n' for name in chosen
        )
        for part, chosen in divide(names, val, test, seed).items()
    }
    return _write(parts, overwrite)


def split_coco(
    path: str | Path,
    val: float,
    test: float,
    seed: int = 0,
    overwrite: bool = False,
) -> list[Path]:
    """Split COCO's JSON into ``train.json``, ``val.json`` and ``test.json``.

    ``val``, ``test`` and ``seed`` are those of :func:`divide`.

    Raises:
        FileExistsError: If one of them is there, and ``overwrite`` not True.
        ValueError: If one of them would be ``path`` itself, or that does
            not have COCO's form.
    """
    path = Path(path)
    keep_apart([path.with_name(f'{part}.json') for part in PARTS], [path])
    try:
        everything: dict[str, Any] = json.loads(path.read_text())
        owners = {each['image_id'] for each in everything['annotations']}
        alone = owners - {each['id'] for each in everything['images']}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"'{path}' is no COCO JSON: {type(error).__name__}: {error}"
        ) from None
    if alone:
        raise ValueError(
            f"'{path}' has annotations of images that it does not list, such "
            f'as {next(iter(alone))!r}'
        )
    parts = {}
    for part, images in divide(everything['images'], val, test, seed).items():
        ids = {image['id'] for image in images}
        annotations = [
            a for a in everything['annotations'] if a['image_id'] in ids
        ]
        kept = dict(images=images, annotations=annotations)
        text = json.dumps(everything | kept) if images else ''
        parts[path.with_name(f'{part}.json')] = text
    return _write(parts, overwrite)


def _write(parts: dict[Path, str], overwrite: bool) -> list[Path]:
    """Write parts but for empty ones, in place of those of before or not."""
    if not overwrite:
        for path in filter(Path.exists, parts):
            raise FileExistsError(
                f"'{path}' is there, and may be the division that others use: "
                '--overwrite replaces it'
            )
    for path, text in parts.items():
        if text:
            write(path, text.encode())
        else:  # an older part holds images of the new ones
            path.unlink(missing_ok=True)
    return [path for path, text in parts.items() if text]


def main() -> None:
    """Divide, and say what was written."""
    parser = argparse.ArgumentParser(
        description='Divide a data set for training, validation and test'
    )
    parser.add_argument('data', help="VOC's folder or COCO's JSON file")
    parser.add_argument('--val', type=float, default=0.2, help='share (0.2)')
    parser.add_argument('--test', type=float, default=0.0, help='share (0)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--overwrite', action='store_true', help='replace an older division'
    )
    for name, default in (('ann', 'Annotations'), ('img', 'JPEGImages')):
        parser.add_argument(
            f'--{name}-subdir', default=default, help=f"VOC's ({default})"
        )
    args = parser.parse_args()
    if not Path(args.data).exists():
        parser.error(f"there is no '{args.data}'")
    shares = args.val, args.test, args.seed
    try:
        if Path(args.data).is_dir():
            folders = args.ann_subdir, args.img_subdir
            written = split_voc(args.data, *shares, *folders, args.overwrite)
        else:
            written = split_coco(args.data, *shares, args.overwrite)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    for path in written:
        print(path)


if __name__ == '__main__':
    main()
