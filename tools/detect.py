"""Detect objects: ``python tools/detect.py IMAGE... --model FILE``.

IMAGE is an image, a video, a folder or a pattern. FILE is what
``tools/export.py`` or ``tools/publish_model.py`` wrote, or a config, with
``--checkpoint``. Pictures with the boxes drawn go to ``--out-dir``, under the
images' names.
"""

import argparse
import json
import os
import sys
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line, and refuse a mistyped path at once."""
    parser = argparse.ArgumentParser(
        description='Detect objects in images and videos'
    )
    parser.add_argument(
        'images',
        nargs='+',
        metavar='IMAGE',
        help="image, video, folder, or a pattern such as 'data/**/*.jpg'",
    )
    parser.add_argument(
        '--model', required=True, help='exported or published file, or config'
    )
    parser.add_argument('--checkpoint', help='weights for a config')
    parser.add_argument(
        '--score-thr', type=float, default=0.3, help='default: 0.3'
    )
    parser.add_argument(
        '--batch-size', type=int, default=1, help='images at once (1)'
    )
    parser.add_argument(
        '--out-dir', default='detections', help='default: detections'
    )
    parser.add_argument(
        '--out-json', help="file for the detections in COCO's form"
    )
    parser.add_argument(
        '--ann',
        help="COCO's JSON file, whose ids of images and categories --out-json "
        'then has',
    )
    parser.add_argument(
        '--max-pixels',
        type=int,
        default=100_000_000,
        help='images of more are not decoded (100000000)',
    )
    parser.add_argument(
        '--may-miss',
        nargs='+',
        default=[],
        metavar='PART',
        help='parts that the checkpoint need not hold, e.g. bbox_head',
    )
    args = parser.parse_args()
    for path in filter(None, (args.model, args.checkpoint, args.ann)):
        if '://' not in path and not Path(path).is_file():
            parser.error(f"there is no file '{path}'")
    if args.batch_size < 1:
        parser.error(f'--batch-size is at least 1, not {args.batch_size}')
    if args.out_json and Path(args.out_json).is_dir():
        parser.error(f"--out-json is a file, and '{args.out_json}' a folder")
    if (Path(args.model).suffix == '.py') != bool(args.checkpoint):
        parser.error('a config needs --checkpoint, and nothing else has one')
    return args


def main() -> None:
    """Write a picture per image, and say what was found."""
    args = parse_args()
    os.environ['OPENCV_IO_MAX_IMAGE_PIXELS'] = str(args.max_pixels)
    # Not before: OpenCV reads the limit when it is imported.
    from mmvovnet.deploy.inference.detector import open_detector
    from mmvovnet.deploy.inference.media import (
        detect_media,
        find_media,
        outputs,
    )
    from mmvovnet.fileio import keep_apart, write

    errors: tuple = (ImportError, OSError, ValueError)
    if Path(args.model).suffix in ('.py', '.pth'):
        import mmvovnet.engine  # noqa: F401
        from mmvovnet.engine.known_warnings import ignore_known_warnings
        from mmvovnet.weights import CheckpointError

        errors += (CheckpointError,)
        ignore_known_warnings()

    try:
        files = find_media(args.images)
        given = [args.model, args.checkpoint, args.ann]
        keep_apart(
            [*outputs(files, args.out_dir), *filter(None, [args.out_json])],
            [*files, *filter(None, given)],
        )
        detect, classes, color_type = open_detector(
            args.model, args.checkpoint, args.may_miss
        )
        results, unread = detect_media(
            detect,
            classes,
            files,
            args.out_dir,
            args.score_thr,
            args.batch_size,
            args.ann,
            color_type,
        )
        if args.out_json:
            write(args.out_json, json.dumps(results).encode())
            print(f'{args.out_json}: {len(results)} detections')
    except KeyboardInterrupt:
        print('interrupted: all files named above are whole', file=sys.stderr)
        sys.exit(130)
    except errors as error:
        raise SystemExit(f'error: {error}') from None
    if unread:
        raise SystemExit(
            f'error: {len(unread)} of {len(files)} files could not be read: '
            f'{", ".join(unread)}'
        )


if __name__ == '__main__':
    main()
