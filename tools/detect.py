"""Detect objects: ``python tools/detect.py IMAGE... --model FILE``.

FILE is what ``tools/export.py`` wrote, or a config, with ``--checkpoint``.
Pictures with the boxes drawn go to ``--out-dir``, under the images' names.
"""

import argparse
from collections.abc import Callable
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line, and refuse a mistyped path at once."""
    parser = argparse.ArgumentParser(description='Detect objects in images')
    parser.add_argument('images', nargs='+', metavar='IMAGE')
    parser.add_argument(
        '--model', required=True, help='exported file or config'
    )
    parser.add_argument('--checkpoint', help='weights for a config')
    parser.add_argument('--score-thr', type=float, default=0.3)
    parser.add_argument('--out-dir', default='detections')
    args = parser.parse_args()
    for path in (*args.images, args.model):
        if not Path(path).is_file():
            parser.error(f"there is no file '{path}'")
    if (Path(args.model).suffix == '.py') != bool(args.checkpoint):
        parser.error('a config needs --checkpoint, and nothing else has one')
    return args


def open_detector(args: argparse.Namespace) -> tuple[Callable, list[str]]:
    """Get a function from an image to boxes, scores, labels, and classes."""
    if not args.checkpoint:
        from mmvovnet.deploy import load_exported
        from mmvovnet.deploy.detect import Detector

        exported = load_exported(args.model)
        return Detector(exported), exported.metadata['classes']
    from mmdet.apis import inference_detector

    import mmvovnet.engine  # noqa: F401
    from mmvovnet.apis import build_model
    from mmvovnet.deploy import describe_model, fuse

    model = build_model(args.model, args.checkpoint)
    classes = describe_model(model)['classes']
    model = fuse(model)

    def detect(image):
        found = inference_detector(model, image).pred_instances
        return found.bboxes, found.scores, found.labels

    return detect, classes


def main() -> None:
    """Write a picture per image, and say what was found."""
    args = parse_args()
    # Not before: these take seconds to import.
    import mmcv

    from mmvovnet.deploy.detect import draw

    detect, classes = open_detector(args)
    for path in args.images:
        image = mmcv.imread(path)
        boxes, scores, labels = detect(image)
        keep = scores >= args.score_thr
        picture = draw(image, boxes[keep], scores[keep], labels[keep], classes)
        out = Path(args.out_dir, Path(path).name)
        mmcv.imwrite(picture, str(out))
        print(f'{out}: {int(keep.sum())} objects')


if __name__ == '__main__':
    main()
