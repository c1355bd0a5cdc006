"""Checks of image files, decoded as a training decodes them."""

import os
import stat
from collections.abc import Mapping, Sequence
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.registry import TRANSFORMS
from mmengine.utils import track_iter_progress
from PIL import Image

from .records import Records
from .report import ERROR, WARNING, Report

# Pillow's own limit, from which a file may be a decompression bomb.
MAX_PIXELS = 89_478_485

DEPTHS = ('decode', 'headers', 'presence')
"""Images are decoded as the training does, by header alone, or only found."""

_SUFFIXES = ('.jpg', '.jpeg', '.JPG', '.JPEG', '.png', '.PNG', '.bmp', '.tif')
_UNREADABLE = 'unreadable'  # an error, or left out by `ignore_empty`

Size = Sequence[float]  # width and height by the annotations, or NaN
Found = tuple[str, str, str] | None  # level, fault, detail of a file


def check_images(
    records: Records,
    report: Report,
    depth: str = 'decode',
    loader: Mapping[str, Any] | None = None,
    workers: int | None = None,
) -> None:
    """Look at image files, as the pipeline's ``loader`` loads them."""
    pairs = zip(records.files, records.sizes.tolist(), strict=True)
    claimed = {file: size for file, size in pairs if '://' not in file}
    loader = dict(loader or dict(type='LoadImageFromFile'))
    lenient = loader.pop('ignore_empty', False)
    flag = str(loader.get('color_type', 'color'))
    turns = 'ignore_orientation' not in flag and flag != 'unchanged'
    load = TRANSFORMS.build(loader) if depth == 'decode' else None
    look: Any = partial(faulty_image, load=load, turns=turns)
    workers = workers or os.cpu_count()
    if depth == 'presence':  # a network's latency, not work
        look, workers = faulty_file, 16
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with ThreadPool(workers) as pool:
            # A task for each would take memory.
            said: Any = pool.imap(
                lambda item: look(*item), claimed.items(), chunksize=64
            )
            if depth != 'presence':
                said = track_iter_progress((said, len(claimed)))
            faulty = [(f, s) for f, s in zip(claimed, said, strict=True) if s]
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    kinds: dict[tuple[str, str], list[str]] = {}
    for file, (level, what, detail) in faulty:
        kinds.setdefault((level, what), []).append(file + detail)
    read = len(claimed) - sum(s[0] == _UNREADABLE for _, s in faulty)
    for (level, what), examples in kinds.items():
        if level == _UNREADABLE and lenient and read:
            level, what = WARNING, f'{what} and left out (ignore_empty)'
        elif level == _UNREADABLE:
            level = ERROR
        report.add(level, records.source, what, examples)


def faulty_file(file: str, _: Size) -> Found:
    """Look for a file, which is not opened."""
    try:
        found = os.stat(file)
    except FileNotFoundError:
        others = [Path(file).with_suffix(suffix) for suffix in _SUFFIXES]
        near = next(filter(Path.exists, others), None)
        hint = near and f' ({near.name} is there: convert it, or say its name)'
        return _UNREADABLE, 'an image is missing', hint or ''
    except OSError as error:
        return ERROR, f'an image {error.strerror}', ''
    if not stat.S_ISREG(found.st_mode):
        return _UNREADABLE, 'an image is a folder, a pipe or a device', ''
    if not found.st_size:
        return _UNREADABLE, 'an image is an empty file', ''
    return None


def faulty_image(
    file: str, claimed: Size, load: Any = None, turns: bool = True
) -> Found:
    """Look at a file, its header, and as the transform ``load`` loads it.

    ``turns`` says whether the training turns images by their EXIF data.
    """
    if found := faulty_file(file, claimed):
        return found
    dark = ''
    try:
        try:
            with Image.open(file) as image:
                turned = turns and image.getexif().get(0x0112, 1) > 4
                seen = image.size[::-1] if turned else image.size
        except Exception:  # a damaged header can raise anything
            if load is None:
                raise
            seen = (1, 1)  # OpenCV may know the format
        many = seen[0] * seen[1] > MAX_PIXELS
        if load is not None and not many:
            pixels = load.transform(dict(img_path=file))['img']
            seen, dark = pixels.shape[1::-1], _darkened(file, pixels)
    except Exception:  # OpenCV's and Pillow's own, among others
        with open(file, 'rb') as content:
            begin = content.read(12)
        return (
            _UNREADABLE,
            'an image cannot be read',
            f' (it begins {begin!r})',
        )
    said = f' ({seen[0]}x{seen[1]})'
    if many:
        return ERROR, f'an image has more than {MAX_PIXELS} pixels', said
    if dark:
        what = 'an image of 16 bits is loaded as 8, nearly black'
        return WARNING, f'{what}: scale its values to 0 to 65535', dark
    if min(seen) < 8 or max(seen) > 50 * min(seen):
        return WARNING, 'an image is a line of pixels', said
    if all(map(np.isfinite, claimed)) and seen != tuple(map(int, claimed)):
        said += f' (annotations: {claimed[0]:.0f}x{claimed[1]:.0f})'
        return ERROR, 'an image has another size than its annotations', said
    return None


def _darkened(file: str, pixels: np.ndarray) -> str:
    """The range of a file's values, if the loader kept the upper bits only."""
    if pixels.dtype != np.uint8 or pixels.max() >= 32:
        return ''
    whole = cv2.imread(file, cv2.IMREAD_UNCHANGED)
    if whole is None or whole.dtype == np.uint8 or not whole.any():
        return ''
    return f' ({whole.min()} to {whole.max()})'
