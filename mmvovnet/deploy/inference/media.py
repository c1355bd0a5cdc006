"""Images and videos: found, read in batches, and written with detections."""

import glob
import json
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from PIL import Image
from rich.progress import Progress
from torch import Tensor

from mmvovnet.fileio import write

from .detect import VIDEOS, Detect, Found, is_video, outputs
from .drawing import draw

IMAGES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
MAX_PIXELS = 100_000_000  # 0.3 GB, decoded


def find_media(names: Sequence[str]) -> list[str]:
    """Find images and videos.

    Args:
        names (Sequence[str]): Files; folders, for what is in them and below;
            or patterns such as ``'images/**/*.jpg'``.

    Raises:
        FileNotFoundError: If there is nothing of one of the names.
    """
    found = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(map(str, path.rglob('*')))
            matches = [
                each
                for each in inside
                if Path(each).suffix.lower() in IMAGES + VIDEOS
            ]
        elif path.is_file():
            matches = [name]
        else:
            matches = sorted(glob.glob(name, recursive=True))
        if not matches:
            raise FileNotFoundError(
                f"there is no image or video '{name}'; known endings are "
                f'{", ".join(IMAGES + VIDEOS)}'
            )
        found += matches
    return found


def read_image(
    file: str, max_pixels: int = MAX_PIXELS, color_type: str = 'color'
) -> np.ndarray | None:
    """Read an image, unless it is too large to be decoded.

    Args:
        file (str): The file.
        max_pixels (int): The most pixels. Defaults to :data:`MAX_PIXELS`.
        color_type (str): As mmcv's ``imread`` takes it. Defaults to 'color'.

    Returns:
        np.ndarray: uint8 of shape (H, W, 3), BGR, or with as many channels as
        ``color_type`` says; None if it can't be read.

    Raises:
        ValueError: If it is read 'unchanged' and has not four channels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with Image.open(file) as image:
                pixels = image.width * image.height
    except Image.DecompressionBombError as error:
        said = re.search(r'\((\d+) pixels', str(error))
        pixels = int(said[1]) if said else max_pixels + 1
    except OSError:  # OpenCV may know the format
        pixels = 0
    if pixels > max_pixels:
        print(
            f"'{file}' has {pixels} pixels, more than {max_pixels}: "
            '--max-pixels sets the limit',
            file=sys.stderr,
        )
        return None
    image = mmcv.imread(file, color_type)
    if (
        color_type == 'unchanged'
        and image is not None
        and (image.ndim < 3 or image.shape[2] != 4)
    ):
        raise ValueError(
            f"'{file}' is of shape {image.shape}, and the model reads images "
            'of four channels'
        )
    return image


def detect_media(
    detect: Detect,
    classes: Sequence[str],
    files: Sequence[str],
    out_dir: str | Path,
    score_thr: float = 0.3,
    batch_size: int = 1,
    annotations: str | Path | None = None,
    max_pixels: int = MAX_PIXELS,
    color_type: str = 'color',
) -> tuple[list[dict[str, Any]], list[str]]:
    """Detect objects in images and videos, and write their pictures.

    Args:
        detect (Detect): From :func:`.detect.open_detector`.
        classes (Sequence[str]): Names of the labels.
        files (Sequence[str]): Images and videos.
        out_dir (str | Path): Folder for what is drawn.
        score_thr (float): Detections below it are left out. Defaults to 0.3.
        batch_size (int): Images at once. Defaults to 1.
        annotations (str | Path, optional): COCO's JSON file, whose ids of
            images and categories the results then have.
        max_pixels (int): Images of more are not decoded. Defaults to
            :data:`MAX_PIXELS`.
        color_type (str): How images are read, see :func:`read_image`.
            Defaults to 'color'.

    Returns:
        tuple: The detections in COCO's form, and the files that could not be
        read. Without ``annotations`` an ``image_id`` is the file's name, with
        ``#`` and the frame's number for a video, and a ``category_id`` the
        label, from 0.

    Raises:
        ValueError: If a picture would overwrite an image or another picture,
            ``annotations`` don't tell an image's id, or a video is given
            that has no ids or not the model's channels.
    """
    targets = outputs(files, out_dir)
    ids = _Ids(annotations, classes)
    results: list[dict[str, Any]] = []
    unread = []
    with Progress(disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task('images', total=len(files))
        stills = [
            pair
            for pair in zip(files, targets, strict=True)
            if not is_video(pair[0])
        ]
        ids.check([file for file, _ in stills])
        films = [file for file in files if is_video(file)]
        if films and (annotations or color_type == 'unchanged'):
            raise ValueError(
                f"'{films[0]}' is a video: its frames have three channels "
                'and no ids in annotations; detect it in another call, by a '
                'model of three channels'
            )
        for group in _groups(iter(stills), batch_size):
            read = [
                (file, out, read_image(file, max_pixels, color_type))
                for file, out in group
            ]
            unread += [f for f, _, image in read if image is None]
            good = [
                (f, out, image) for f, out, image in read if image is not None
            ]
            images = [image for *_, image in good]
            for (file, out, image), found in zip(
                good, detect(images) if images else [], strict=True
            ):
                kept = _above(found, score_thr)
                mmcv.imwrite(_drawn(image, kept, classes), str(out))
                results += ids.coco(file, kept)
                progress.console.print(
                    f'{out}: {_count(found[1], score_thr)}', highlight=False
                )
            progress.advance(task, len(group))
        for file, out in zip(files, targets, strict=True):
            if (file, out) in stills:
                continue
            scores = []
            for found, frame, writer in _video(
                detect, file, out, batch_size, color_type
            ):
                kept = _above(found, score_thr)
                writer.write(_drawn(frame, kept, classes))
                results += ids.coco(f'{file}#{len(scores)}', kept)
                scores.append(found[1])
            progress.advance(task)
            if not scores:
                unread.append(file)
                continue
            progress.console.print(
                f'{out}: {len(scores)} frames, '
                f'{_count(torch.cat(scores), score_thr)}',
                highlight=False,
            )
    return results, unread


def write_results(results: list[dict[str, Any]], path: str | Path) -> None:
    """Write detections as COCO's JSON, whole or not at all."""
    write(path, json.dumps(results).encode())


class _Ids:
    """Ids of images and categories, by a file of COCO or by name."""

    def __init__(
        self, annotations: str | Path | None, classes: Sequence[str]
    ) -> None:
        self.images: dict[str, list[tuple[Path, int]]] | None = None
        self.categories = list(range(len(classes)))
        if annotations:
            known = json.loads(Path(annotations).read_text())
            self.images = {}
            for each in known['images']:
                path = Path(each['file_name'])
                same = self.images.setdefault(path.name, [])
                same.append((path, each['id']))
            by_name = {c['name']: c['id'] for c in known['categories']}
            unknown = [name for name in classes if name not in by_name]
            if unknown:
                raise ValueError(
                    f"'{annotations}' has no categories {unknown}, which the "
                    'model detects'
                )
            self.categories = [by_name[name] for name in classes]

    def check(self, files: Sequence[str]) -> None:
        """Refuse files without an id of their own."""
        seen: dict[str | int, str] = {}
        for file in files:
            other = seen.setdefault(self.image(file), file)
            if other != file:
                raise ValueError(
                    f"'{other}' and '{file}' are one image in the "
                    'annotations: detect one of them only'
                )

    def image(self, file: str) -> str | int:
        """The id of the image whose path has the longest end in common."""
        if self.images is None:
            return file
        path = Path(file).absolute()
        known = self.images.get(path.name, [])
        if not known:
            raise ValueError(f"the annotations have no image '{path.name}'")
        lengths = [_common_end(path, each) for each, _ in known]
        best = [i for i, n in enumerate(lengths) if n == max(lengths)]
        if len(best) > 1:
            raise ValueError(
                f"'{file}' may be any of the annotations' images "
                f'{[known[i][0].as_posix() for i in best]}: keep its folders '
                'as they are there'
            )
        return known[best[0]][1]

    def coco(self, file: str, found: Found) -> list[dict[str, Any]]:
        image = self.image(file)
        results = [
            dict(
                image_id=image,
                category_id=self.categories[label],
                bbox=[x1, y1, x2 - x1, y2 - y1],
                score=score,
            )
            for (x1, y1, x2, y2), score, label in zip(
                *(part.tolist() for part in found[:3]), strict=True
            )
        ]
        for masks in found[3:]:
            for result, mask in zip(results, masks, strict=True):
                result['segmentation'] = _runs(mask)
        return results


def _common_end(one: Path, other: Path) -> int:
    """How many parts of two paths agree, from the end."""
    pairs = zip(reversed(one.parts), reversed(other.parts), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _count(scores: Tensor, score_thr: float) -> str:
    """How many objects are found; the best score if it is too low."""
    count = int((scores >= score_thr).sum())
    if count or not len(scores):
        return f'{count} objects'
    return (
        f'0 objects (best score {scores.max():.3f}, below --score-thr '
        f'{score_thr:g})'
    )


def _groups(items: Iterator, size: int) -> Iterator[list]:
    while group := list(islice(items, size)):
        yield group


def _above(found: Found, score_thr: float) -> Found:
    keep = found[1] >= score_thr
    return tuple(part[keep] for part in found)


def _drawn(
    image: np.ndarray, found: Found, classes: Sequence[str]
) -> np.ndarray:
    boxes, scores, labels, *masks = (part.numpy() for part in found)
    if image.ndim == 2:
        image = mmcv.gray2bgr(image)
    return draw(image[..., :3], boxes, scores, labels, classes, *masks)


def _runs(mask: Tensor) -> dict[str, Any]:
    """A mask as COCO's run lengths."""
    from pycocotools import mask as coco_mask

    runs = coco_mask.encode(np.asfortranarray(mask.numpy(), np.uint8))
    return {'size': runs['size'], 'counts': runs['counts'].decode()}


def _video(
    detect: Detect, file: str, out: Path, batch_size: int, color_type: str
) -> Iterator[tuple[Found, np.ndarray, cv2.VideoWriter]]:
    """What is found in each frame, the frame, and where to write it."""
    source = cv2.VideoCapture(file)
    out.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    try:
        for group in _groups(_frames(source), batch_size):
            if writer is None:
                writer = cv2.VideoWriter(
                    str(out),
                    cv2.VideoWriter.fourcc(*'mp4v'),
                    source.get(cv2.CAP_PROP_FPS) or 25,
                    group[0].shape[1::-1],
                )
            images = group
            if color_type == 'grayscale':
                images = [mmcv.bgr2gray(frame) for frame in group]
            for frame, found in zip(group, detect(images), strict=True):
                yield found, frame, writer
    finally:
        source.release()
        if writer is not None:
            writer.release()


def _frames(source: cv2.VideoCapture) -> Iterator[np.ndarray]:
    while (frame := source.read()[1]) is not None:
        yield frame
