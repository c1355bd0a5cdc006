r"""Images a second of `mmvovnet detect`, and of the network in it alone.

    python tools/dev/detect_speed.py model.onnx model_int8.onnx \
        --images photographs --batch-sizes 1 4

In turns: the network alone, on images in memory; a folder; and a film, whose
pictures are drawn and written. The last two columns are shares of the first.
"""

import argparse
import os
import shutil
import time
from contextlib import redirect_stdout
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('models', nargs='+', help='exported files')
    parser.add_argument('--images', required=True, help='a folder')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 4])
    parser.add_argument('--count', type=int, default=100, help='images (100)')
    parser.add_argument('--rounds', type=int, default=5)
    return parser.parse_args()


def copy_images(names: list[str], count: int, folder: Path) -> list[str]:
    """Fill a folder with so many of the images, again and again."""
    folder.mkdir()
    copies = []
    for i, name in enumerate(islice(cycle(names), count)):
        copies.append(str(folder / f'{i:05}{Path(name).suffix}'))
        shutil.copy(name, copies[-1])
    return copies


def make_film(names: list[str], path: str) -> None:
    """Write images as frames of the first one's size."""
    import cv2

    size = cv2.imread(names[0]).shape[1::-1]
    film = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*'mp4v'), 25, size)
    for name in names:
        film.write(cv2.resize(cv2.imread(name), size))
    film.release()


def measure(
    model: str, images: list[str], film: str, size: int, rounds: int
) -> str:
    """Measure a model at a batch size, as cells of the table."""
    from mmvovnet.deploy.inference.detector import Detector
    from mmvovnet.deploy.inference.media import detect_media, read_image
    from mmvovnet.deploy.inference.runtime import Exported, load_exported

    exported = load_exported(model)
    spent = 0.0

    def run(pixels: Any) -> Any:
        nonlocal spent
        start = time.perf_counter()
        outputs = exported(pixels)
        spent += time.perf_counter() - start
        return list(outputs.values())

    detector = Detector(exported)
    timed = Detector(Exported(exported.metadata, run))
    decoded = list(map(read_image, images))
    classes = exported.metadata['classes']
    rows = []
    for _ in range(rounds):
        spent = 0.0
        for i in range(0, len(decoded), size):
            timed(decoded[i : i + size])
        row = [spent]
        for files in (images, [film]):
            start = time.perf_counter()
            with TemporaryDirectory() as out, redirect_stdout(None):
                detect_media(detector, classes, files, out, batch_size=size)
            row.append(time.perf_counter() - start)
        rows.append(row)
    rates = [len(images) / median(each) for each in zip(*rows, strict=True)]
    shares = [median(row[0] / row[i] for row in rows) for i in (1, 2)]
    cells = [f'{rate:.1f}' for rate in rates]
    return ' | '.join(cells + [f'{share:.2f}' for share in shares])


def main() -> None:
    """Print the table."""
    args = parse_args()
    # Not before: it imports OpenCV.
    from mmvovnet.deploy.inference.media import find_media, is_video

    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f'{cores} cores, load {load:.1f}, images a second:\n')
    print('| model | batch | network | folder | film | folder | film |')
    print('|---|--:|--:|--:|--:|--:|--:|')
    found = [f for f in find_media([args.images]) if not is_video(f)]
    with TemporaryDirectory() as folder:
        images = copy_images(found, args.count, Path(folder, 'images'))
        film = str(Path(folder, 'film.mp4'))
        make_film(images, film)
        for model in args.models:
            for size in args.batch_sizes:
                cells = measure(model, images, film, size, args.rounds)
                print(f'| {model} | {size} | {cells} |', flush=True)


if __name__ == '__main__':
    main()
