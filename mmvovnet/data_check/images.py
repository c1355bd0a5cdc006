"""Checks of image files, by their headers."""

import os
import stat
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import chain

import numpy as np
from mmengine.utils import ProgressBar
from PIL import Image

from .report import ERROR, WARNING, Report

MAX_PIXELS = 89_478_485
"""Pillow's own limit for what is no decompression bomb (0.27 GB as RGB)."""

_CHUNK = 256


def check_images(
    files: Sequence[str],
    sizes: np.ndarray,
    where: str,
    report: Report,
    headers: bool = True,
    processes: int | None = None,
) -> None:
    """Look at image files.

    Args:
        files (Sequence[str]): Paths.
        sizes (np.ndarray): Width and height by the annotations, shape (N, 2),
            NaN where these do not say.
        where (str): Whose images they are.
        report (Report): Gets what is found.
        headers (bool): Whether to open them, with a progress bar, or only to
            see that they are there.
        processes (int, optional): Defaults to the number of cores.
    """
    unique = {
        file: tuple(size)
        for file, size in zip(files, sizes.tolist(), strict=True)
    }
    items = list(unique.items())
    chunks = [items[i : i + _CHUNK] for i in range(0, len(items), _CHUNK)]
    if not headers:
        with ThreadPoolExecutor(16) as pool:  # a network's latency, not work
            said = list(chain(*pool.map(_look, chunks)))
    else:
        said, bar = [], ProgressBar(len(items))
        with ProcessPoolExecutor(processes or os.cpu_count()) as pool:
            for part in pool.map(_open, chunks):
                said += part
                bar.update(len(part))
        print()
    kinds: dict[tuple[str, str], list[str]] = {}
    for (file, _), found in zip(items, said, strict=True):
        if found:
            level, what, detail = found
            kinds.setdefault((level, what), []).append(file + detail)
            report.blame(file)
    for (level, what), examples in kinds.items():
        report.add(level, where, what, examples)


def _look(chunk: list) -> list[tuple[str, str, str] | None]:
    return [_faulty_file(file) for file, _ in chunk]


def _open(chunk: list) -> list[tuple[str, str, str] | None]:
    return [_faulty_file(f) or _faulty_image(f, size) for f, size in chunk]


def _faulty_file(file: str) -> tuple[str, str, str] | None:
    if '://' in file:
        return None
    try:
        found = os.stat(file)
    except OSError as error:
        reason = (
            'is missing'
            if isinstance(error, FileNotFoundError)
            else (error.strerror)
        )
        return ERROR, f'an image {reason}', ''
    if not stat.S_ISREG(found.st_mode):
        return ERROR, 'an image is a folder, a pipe or a device', ''
    if not found.st_size:
        return ERROR, 'an image is an empty file', ''
    return None


def _faulty_image(
    file: str, claimed: tuple[float, float]
) -> tuple[str, str, str] | None:
    if '://' in file:
        return None
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(file) as image:
            size, turned = image.size, _is_turned(image)
    except Exception:  # a damaged header can raise anything
        with open(file, 'rb') as content:
            begin = content.read(12)
        return ERROR, 'an image cannot be read', f' (it begins {begin!r})'
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    said = f' ({size[0]}x{size[1]})'
    if size[0] * size[1] > MAX_PIXELS:
        return ERROR, f'an image has more than {MAX_PIXELS} pixels', said
    if min(size) < 8 or max(size) > 50 * min(size):
        return WARNING, 'an image is a line of pixels', said
    # mmcv turns images as their EXIF data say.
    seen = size[::-1] if turned else size
    if all(map(np.isfinite, claimed)) and seen != tuple(map(int, claimed)):
        said += f' (annotations: {claimed[0]:.0f}x{claimed[1]:.0f})'
        return ERROR, 'an image has another size than its annotations', said
    return None


def _is_turned(image: Image.Image) -> bool:
    return image.getexif().get(0x0112) in (5, 6, 7, 8)
