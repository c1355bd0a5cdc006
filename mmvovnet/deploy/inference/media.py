"""Images and videos: found, read ahead, and written with detections."""

import glob
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import chain, count, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmvovnet.fileio import keep_apart

from .coco import coco_form, coco_ids
from .detector import Detect, Found
from .drawing import draw

IMAGES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
VIDEOS = ('.avi', '.mkv', '.mov', '.mp4', '.webm')


def find_media(names: Sequence[str]) -> list[str]:
    """Find images and videos by files, folders and patterns.

    Raises:
        FileNotFoundError: If there is nothing of one of the names.
    """
    known = IMAGES + VIDEOS
    files: dict[str, str] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(map(str, path.rglob('*')))
            matches = [f for f in inside if Path(f).suffix.lower() in known]
        else:
            matches = [name] if path.is_file() else []
            matches = matches or sorted(glob.glob(name, recursive=True))
        if not matches:
            raise FileNotFoundError(
                f"there is no image or video '{name}'; known endings are "
                f'{", ".join(known)}'
            )
        for match in matches:
            files.setdefault(os.path.abspath(match), match)
    return list(files.values())


def is_video(path: str | Path) -> bool:
    """Whether a file is a video, by its ending."""
    return Path(path).suffix.lower() in VIDEOS


def outputs(images: Sequence[str], out_dir: str | Path) -> list[Path]:
    """Where to write what is drawn: a picture, or an MP4 for a video.

    Images from several folders keep what tells these apart.

    Raises:
        ValueError: If one of them is an image itself, or two are one file.

    Example:
        >>> [path.as_posix() for path in outputs(['a/1.png', 'b/1.png'], 'o')]
        ['o/a/1.png', 'o/b/1.png']
    """
    paths = [Path(image).resolve() for image in images]
    root = os.path.commonpath([path.parent for path in paths])
    targets = [Path(out_dir, path.relative_to(root)) for path in paths]
    targets = [t.with_suffix('.mp4') if is_video(t) else t for t in targets]
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
    flags |= cv2.IMREAD_IGNORE_ORIENTATION if is_raw else 0
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
    if name == 'unchanged' and image is not None and image.shape[2:] != (4,):
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
    color_type: str = 'color',
) -> tuple[list[dict[str, Any]], list[str]]:
    """Detect objects in images and videos, and write their pictures.

    Threads read the next images and write the last ones while the network
    runs. ``detect``, ``classes`` and ``color_type`` are
    :func:`.detector.open_detector`'s.

    Returns:
        tuple: The detections in COCO's form, and the files that could not be
        read. Ids are those of ``annotations``, COCO's JSON file; without it
        an ``image_id`` is the file's name, with ``#`` and the frame's number
        for a video, and a ``category_id`` the label, from 0.

    Raises:
        OSError: If a picture cannot be written.
        ValueError: If it would overwrite an image or another picture, or a
            file has no ids in ``annotations`` or not the model's channels.
    """
    targets = dict(zip(files, outputs(files, out_dir), strict=True))
    films = {
        file: _Film(file, targets[file], color_type)
        for file in filter(is_video, files)
    }
    if films and (annotations or color_type == 'unchanged'):
        raise ValueError(
            f"'{next(iter(films))}' is a video: its frames have three "
            'channels and no ids in annotations; detect it in another call, '
            'by a model of three channels'
        )
    ids, categories = coco_ids(annotations, files, classes)
    if cv2.__version__ < '5' and not ''.join(classes).isascii():
        print(
            f'OpenCV {cv2.__version__} draws ASCII alone, and ? for other '
            "letters of the classes' names: install opencv-python>=5",
            file=sys.stderr,
        )
    threads = 1 if films else 4  # frames come one after another
    most = 2 * batch_size + threads

    def items() -> Iterator[tuple[str, str, Callable]]:
        for file in files:
            if film := films.get(file):
                frames = count()
                while not film.is_over:
                    yield file, f'{file}#{next(frames)}', film.read
            else:
                yield file, file, partial(read_image, file, color_type)

    def find() -> Iterator[tuple]:
        read_ahead = _ahead(
            readers, lambda *item: (*item[:2], item[2]()), items(), most
        )
        images = (each for each in read_ahead if each[2] is not None)
        while group := list(islice(images, batch_size)):
            found = detect([image for *_, image in group])
            for each, objects in zip(group, found, strict=True):
                yield *each, objects

    def finish(file: str, name: str, image: Any, found: Found) -> tuple:
        kept = tuple(part[found[1] >= score_thr] for part in found)
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        boxes, best, labels, *masks = kept
        image = image[..., :3]
        picture = draw(image, boxes, best, labels, classes, *masks)
        targets[file].parent.mkdir(parents=True, exist_ok=True)
        if file in films:
            films[file].write(picture)
        elif not cv2.imwrite(str(targets[file]), picture):
            raise OSError(f"'{targets[file]}' cannot be written")
        objects = coco_form(ids.get(name, name), kept, categories)
        return file, found[1], objects

    results: list[dict[str, Any]] = []
    done = set()
    with (
        ExitStack() as stack,
        ThreadPoolExecutor(threads) as readers,
        ThreadPoolExecutor(threads) as writers,
    ):
        for film in films.values():
            stack.callback(film.close)
        finished = _ahead(writers, finish, find(), most)
        for file, group in groupby(finished, key=itemgetter(0)):
            _, scores, objects = zip(*group, strict=True)
            before = len(results)
            results += chain(*objects)
            done.add(file)
            frames = ''
            if file in films:
                films[file].close()
                frames = f'{len(scores)} frames, '
            best = np.concatenate(scores).max(initial=0)
            below = f', below --score-thr {score_thr}'
            below = below if best < score_thr else ''
            print(
                f'{targets[file]}: {frames}{len(results) - before} objects '
                f'(best score {best:.3f}{below})'
            )
    return results, [file for file in files if file not in done]


def _ahead(
    pool: Executor, function: Callable, items: Iterable[tuple], most: int
) -> Iterator[tuple]:
    """Map in threads and in order, with at most so many results waiting."""
    waiting: deque[Future] = deque()
    for item in items:
        waiting.append(pool.submit(function, *item))
        if waiting[0].done() or len(waiting) > most:
            yield waiting.popleft().result()
    for future in waiting:
        yield future.result()


class _Film:
    """A video that is read, and one that is written, frame by frame."""

    def __init__(self, file: str, out: Path, color_type: str) -> None:
        self.file, self.out = file, out
        self.is_grey = color_type.startswith('grayscale')
        self.is_over = False
        self.source = cv2.VideoCapture()
        self.writer = cv2.VideoWriter()

    def read(self) -> np.ndarray | None:
        if self.is_over:  # frames ahead of it were asked for
            return None
        if not self.source.isOpened():  # not before: there may be many
            self.source.open(self.file)
            self.fps = self.source.get(cv2.CAP_PROP_FPS) or 25
        frame = self.source.read()[1]
        self.is_over = frame is None
        if self.is_grey and not self.is_over:
            frame = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        return frame

    def write(self, picture: np.ndarray) -> None:
        if not self.writer.isOpened():
            code = cv2.VideoWriter.fourcc(*'mp4v')
            size = picture.shape[1::-1]
            if not self.writer.open(str(self.out), code, self.fps, size):
                raise OSError(f"'{self.out}' cannot be written")
        self.writer.write(picture)

    def close(self) -> None:
        self.source.release()
        self.writer.release()
