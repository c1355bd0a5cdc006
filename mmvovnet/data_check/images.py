"""Checks of image files, decoded as a training decodes them."""

import os
import stat
from collections.abc import Mapping, Sequence
from concurrent.futures import (
    Executor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.registry import TRANSFORMS
from mmengine.utils import track_iter_progress
from PIL import Image

from .report import ERROR, WARNING, Report

# Pillow's own limit, from which a file may be a decompression bomb.
MAX_PIXELS = 89_478_485

DEPTHS = ('decode', 'headers', 'presence')
"""Images are decoded as the training does, by header alone, or only found."""

_SUFFIXES = ('.jpg', '.jpeg', '.JPG', '.JPEG', '.png', '.PNG', '.bmp', '.tif')
_UNREADABLE = (
    'an image is missing',
    'an image is a folder, a pipe or a device',
    'an image is an empty file',
    'an image cannot be read',
)

Size = tuple[float, float]  # width and height by the annotations, or NaN
Found = tuple[str, str, str] | None  # level, fault, detail of a file


def check_images(
    files: Sequence[str],
    sizes: np.ndarray | None,
    where: str,
    report: Report,
    depth: str = 'decode',
    loader: Mapping[str, Any] | None = None,
    processes: int | None = None,
) -> None:
    """Look at image files, those of the annotations ``where``.

    Args:
        files (Sequence[str]): Paths.
        sizes (np.ndarray, optional): Width and height by the annotations,
            shape (N, 2), NaN where these do not say.
        where (str): The annotations.
        report (Report): Gets what is found.
        depth (str): One of :data:`DEPTHS`. The first two show a progress bar.
        loader (Mapping, optional): The pipeline's ``LoadImageFromFile``. What
            its ``ignore_empty`` leaves out is no error.
        processes (int, optional): Defaults to the number of cores.
    """
    claims = [[np.nan] * 2] * len(files) if sizes is None else sizes.tolist()
    claimed = dict(zip(files, map(tuple, claims), strict=True))
    loader = dict(loader or dict(type='LoadImageFromFile'))
    lenient = loader.pop('ignore_empty', False)
    flag = str(loader.get('color_type', 'color'))
    turns = 'ignore_orientation' not in flag and flag != 'unchanged'
    load = TRANSFORMS.build(loader) if depth == 'decode' else None
    if depth == 'presence':  # a network's latency, not work
        pool: Executor = ThreadPoolExecutor(16)
        look: Any = _faulty_file
    else:
        pool = ProcessPoolExecutor(
            processes or os.cpu_count(), None, cv2.setNumThreads, (0,)
        )
        look = partial(_faulty, load=load, turns=turns)
    with pool:
        said = pool.map(look, claimed, claimed.values(), chunksize=64)
        if depth != 'presence':
            said = track_iter_progress((said, len(claimed)))
        faulty = [(f, s) for f, s in zip(claimed, said, strict=True) if s]
    kinds: dict[tuple[str, str], list[str]] = {}
    for file, (level, what, detail) in faulty:
        kinds.setdefault((level, what), []).append(file + detail)
    for (level, what), examples in kinds.items():
        if lenient and what in _UNREADABLE and len(examples) < len(claimed):
            level, what = WARNING, f'{what} and left out (ignore_empty)'
        report.add(level, where, what, examples)


def _faulty(file: str, claimed: Size, **how: Any) -> Found:
    return _faulty_file(file, claimed) or _faulty_image(file, claimed, **how)


def _faulty_file(file: str, _: Size) -> Found:
    if '://' in file:
        return None
    missing, special, empty, _unread = _UNREADABLE
    try:
        found = os.stat(file)
    except FileNotFoundError:
        others = [Path(file).with_suffix(suffix) for suffix in _SUFFIXES]
        near = next(filter(Path.exists, others), None)
        hint = near and f' ({near.name} is there: convert it, or say its name)'
        return ERROR, missing, hint or ''
    except OSError as error:
        return ERROR, f'an image {error.strerror}', ''
    if not stat.S_ISREG(found.st_mode):
        return ERROR, special, ''
    return None if found.st_size else (ERROR, empty, '')


def _faulty_image(
    file: str, claimed: Size, load: Any = None, turns: bool = True
) -> Found:
    """Look at a file by its header, and as the transform ``load`` loads it.

    ``turns`` says whether the training turns images by their EXIF data.
    """
    if '://' in file:
        return None
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    said = ''
    try:
        try:
            with Image.open(file) as image:
                size = image.size
                turned = turns and image.getexif().get(0x0112, 1) > 4
            seen = size[::-1] if turned else size
        except Exception:  # a damaged header can raise anything
            if load is None:
                raise
            seen = (1, 1)  # OpenCV may know the format
        if seen[0] * seen[1] > MAX_PIXELS:
            said = f' ({seen[0]}x{seen[1]})'
            return ERROR, f'an image has more than {MAX_PIXELS} pixels', said
        if load is not None:
            pixels = load.transform(dict(img_path=file))['img']
            seen, said = pixels.shape[1::-1], _darkened(file, pixels)
    except Exception:  # OpenCV's and Pillow's own, among others
        with open(file, 'rb') as content:
            begin = content.read(12)
        return ERROR, _UNREADABLE[-1], f' (it begins {begin!r})'
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    if said:
        what = 'an image of 16 bits is loaded as 8, nearly black'
        return WARNING, f'{what}: scale its values to 0 to 65535', said
    said = f' ({seen[0]}x{seen[1]})'
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
