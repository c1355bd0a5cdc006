"""Images and videos: found, read ahead, and written with detections."""

import glob
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import count, islice, takewhile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmvovnet.fileio import keep_apart

from .coco import coco_form, coco_ids
from .detect import Detect, Found
from .drawing import draw

IMAGES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
VIDEOS = ('.avi', '.mkv', '.mov', '.mp4', '.webm')
_THREADS = 4  # which decode images, and as many which write them


def find_media(names: Sequence[str]) -> list[str]:
    """Find images and videos by files, folders and patterns.

    Raises:
        FileNotFoundError: If there is nothing of one of the names.
    """
    known, found = IMAGES + VIDEOS, []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(map(str, path.rglob('*')))
            matches = [f for f in inside if Path(f).suffix.lower() in known]
        elif path.is_file():
            matches = [name]
        else:
            matches = sorted(glob.glob(name, recursive=True))
        if not matches:
            raise FileNotFoundError(
                f"there is no image or video '{name}'; known endings are "
                f'{", ".join(known)}'
            )
        found += matches
    return found


def is_video(path: str | Path) -> bool:
    """Whether a file is a video, by its ending."""
    return Path(path).suffix.lower() in VIDEOS


def outputs(images: Sequence[str], out_dir: str | Path) -> list[Path]:
    """Where to write what is drawn: a picture, or an MP4 for a video.

    Images from several folders keep what tells these apart.

    Raises:
        ValueError: If one of them is an image itself, two are one file, or
            an image is given twice.

    Example:
        >>> [path.as_posix() for path in outputs(['a/1.png', 'b/1.png'], 'o')]
        ['o/a/1.png', 'o/b/1.png']
    """
    paths = [Path(image).resolve() for image in images]
    root = os.path.commonpath([path.parent for path in paths])
    targets = [Path(out_dir, path.relative_to(root)) for path in paths]
    targets = [t.with_suffix('.mp4') if is_video(t) else t for t in targets]
    for path, times in Counter(paths).items():
        if times > 1:
            raise ValueError(f"the image '{path}' is given twice")
    keep_apart(targets, paths)
    return targets


def read_image(file: str, color_type: str = 'color') -> np.ndarray | None:
    """Read an image as mmcv's ``imread`` does.

    Returns:
        np.ndarray: uint8 of shape (H, W, 3), BGR, or with as many channels as
        ``color_type`` says; None if it can't be read, or has more pixels than
        ``OPENCV_IO_MAX_IMAGE_PIXELS`` of the environment allows.

    Raises:
        ValueError: If it is read 'unchanged' and has not four channels.
    """
    name, is_raw, _ = color_type.partition('_ignore_orientation')
    flags = getattr(cv2, f'IMREAD_{name.upper()}')
    if is_raw:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imread(file, flags)
    except cv2.error as error:
        if 'CV_IO_MAX_IMAGE' not in str(error):
            raise
        print(
            f"'{file}' has too many pixels: --max-pixels sets the limit",
            file=sys.stderr,
        )
        return None
    shape = None if image is None else image.shape
    if color_type == 'unchanged' and shape and shape[2:] != (4,):
        raise ValueError(
            f"'{file}' is of shape {shape}, and the model reads images of "
            'four channels'
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
    color_type: str = 'color',
) -> tuple[list[dict[str, Any]], list[str]]:
    """Detect objects in images and videos, and write their pictures.

    Threads read the next images and write the last ones while the network
    runs. ``detect``, ``classes`` and ``color_type`` are
    :func:`.detect.open_detector`'s.

    Returns:
        tuple: The detections in COCO's form, and the files that could not be
        read. Ids are those of ``annotations``, COCO's JSON file; without it
        an ``image_id`` is the file's name, with ``#`` and the frame's number
        for a video, and a ``category_id`` the label, from 0.

    Raises:
        OSError: If a picture cannot be written.
        ValueError: If a picture would overwrite an image or another picture,
            ``annotations`` don't tell an image's id, or a video is given
            that has no ids or not the model's channels.
    """
    targets = dict(zip(files, outputs(files, out_dir), strict=True))
    stills = [file for file in files if not is_video(file)]
    films = [file for file in files if is_video(file)]
    ids, categories = coco_ids(annotations, stills, classes)
    if films and (annotations or color_type == 'unchanged'):
        raise ValueError(
            f"'{films[0]}' is a video: its frames have three channels and no "
            'ids in annotations; detect it in another call, by a model of '
            'three channels'
        )

    if cv2.__version__ < '5' and not ''.join(classes).isascii():
        print(
            f'OpenCV {cv2.__version__} draws ASCII alone, and ? for other '
            "letters of the classes' names: install opencv-python>=5",
            file=sys.stderr,
        )

    def read(file: str) -> tuple[str, np.ndarray | None]:
        return file, read_image(file, color_type)

    def write_still(file: str, picture: np.ndarray) -> None:
        targets[file].parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(targets[file]), picture):
            raise OSError(f"'{targets[file]}' cannot be written")

    def finish(
        write: Callable, item: tuple[str, np.ndarray, Found]
    ) -> tuple[str, np.ndarray, list[dict[str, Any]]]:
        name, image, found = item
        kept = tuple(part[found[1] >= score_thr] for part in found)
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        boxes, best, labels, *masks = kept
        image = image[..., :3]
        write(name, draw(image, boxes, best, labels, classes, *masks))
        return name, found[1], coco_form(ids.get(name, name), kept, categories)

    stream = partial(_stream, detect=detect, batch_size=batch_size)
    results, done = [], set()
    for file, scores, objects in stream(
        read, filter, stills, partial(finish, write_still), threads=_THREADS
    ):
        done.add(file)
        results += objects
        print(f'{targets[file]}: {_count(scores, score_thr)}')
    for file in films:
        frames = []
        with closing(_Film(file, targets[file], color_type)) as film:
            for _, scores, objects in stream(
                film.read, takewhile, count(), partial(finish, film.write)
            ):
                frames.append(scores)
                results += objects
        if frames:
            done.add(file)
            said = _count(np.concatenate(frames), score_thr)
            print(f'{targets[file]}: {len(frames)} frames, {said}')
    return results, [file for file in files if file not in done]


def _stream(
    read: Callable,
    select: Callable,
    items: Iterable,
    finish: Callable,
    detect: Detect,
    batch_size: int,
    threads: int = 1,
) -> Iterator[Any]:
    """Read, detect and finish in order; the first and the last in threads.

    ``read`` turns an item into a name and an image; ``select`` is ``filter``
    or ``takewhile``, for images that are None. One thread takes item by item.
    """
    most = 2 * batch_size + threads
    with (
        ThreadPoolExecutor(threads) as readers,
        ThreadPoolExecutor(threads) as writers,
    ):
        pairs = _ahead(readers, read, items, most)
        pairs = select(lambda pair: pair[1] is not None, pairs)
        found = _detected(pairs, detect, batch_size)
        yield from _ahead(writers, finish, found, most)


def _ahead(
    pool: Executor, function: Callable, items: Iterable, most: int
) -> Iterator[Any]:
    """Map in threads and in order, with at most so many results waiting."""
    waiting: deque[Future] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if waiting[0].done() or len(waiting) > most:
            yield waiting.popleft().result()
    for future in waiting:
        yield future.result()


def _detected(
    pairs: Iterator[tuple[str, np.ndarray]], detect: Detect, batch_size: int
) -> Iterator[tuple[str, np.ndarray, Found]]:
    while group := list(islice(pairs, batch_size)):
        names, images = zip(*group, strict=True)
        yield from zip(names, images, detect(images), strict=True)


class _Film:
    """A video that is read, and one that is written, frame by frame."""

    def __init__(self, file: str, out: Path, color_type: str) -> None:
        self.file, self.out = file, out
        self.is_grey = color_type.startswith('grayscale')
        self.source = cv2.VideoCapture(file)
        self.fps = self.source.get(cv2.CAP_PROP_FPS) or 25
        self.writer: cv2.VideoWriter | None = None

    def read(self, number: int) -> tuple[str, np.ndarray | None]:
        frame = self.source.read()[1]
        if frame is not None and self.is_grey:
            frame = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        return f'{self.file}#{number}', frame

    def write(self, name: str, picture: np.ndarray) -> None:
        if self.writer is None:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            code = cv2.VideoWriter.fourcc(*'mp4v')
            size = picture.shape[1::-1]
            self.writer = cv2.VideoWriter(str(self.out), code, self.fps, size)
            if not self.writer.isOpened():
                raise OSError(f"'{self.out}' cannot be written")
        self.writer.write(picture)

    def close(self) -> None:
        self.source.release()
        if self.writer is not None:
            self.writer.release()


def _count(scores: np.ndarray, score_thr: float) -> str:
    """How many objects are found; the best score if it is too low."""
    number = int((scores >= score_thr).sum())
    if number or not len(scores):
        return f'{number} objects'
    return (
        f'0 objects (best score {scores.max():.3f}, below --score-thr '
        f'{score_thr:g})'
    )
