"""Export a model: ``python tools/export.py CONFIG [CHECKPOINT] --format F``.

The file runs without OpenMMLab, with images of any number and size, and holds
what its user must know: the classes, and the images' mean, std and channel
order. It is compared with the model before it is written. With ``--int8`` its
convs are quantized; ``tools/test.py CONFIG FILE`` says what that costs.
"""

import argparse
from pathlib import Path

from mmvovnet.deploy import SUFFIXES


def parse_args() -> argparse.Namespace:
    """Read the command line, and refuse a mistyped path at once."""
    parser = argparse.ArgumentParser(description='Export a model')
    parser.add_argument('config', help='path of the config')
    parser.add_argument(
        'checkpoint', nargs='?', help='weights; random ones without'
    )
    parser.add_argument('--format', choices=SUFFIXES, default='onnx')
    parser.add_argument(
        '--outputs',
        choices=['raw', 'boxes', 'detections'],
        help="a head's outputs, all boxes, or those that non-maximum "
        'suppression leaves (ONNX); the last that there is by default',
    )
    parser.add_argument(
        '--backbone', action='store_true', help='export the backbone alone'
    )
    parser.add_argument('--out', help="file; the config's name by default")
    parser.add_argument(
        '--may-miss',
        nargs='+',
        default=[],
        metavar='PART',
        help='parts that the checkpoint need not hold, e.g. bbox_head',
    )
    parser.add_argument(
        '--int8',
        action='store_true',
        help='quantize (ONNX and OpenVINO), by images of a training set',
    )
    parser.add_argument(
        '--calibration',
        metavar='CONFIG',
        help="with --int8: whose training set; the config's own by default",
    )
    parser.add_argument(
        '--calibration-images',
        type=int,
        default=128,
        metavar='N',
        help='with --int8: how many of its images (128)',
    )
    args = parser.parse_args()
    for path in filter(None, (args.config, args.checkpoint, args.calibration)):
        if '://' not in path and not Path(path).is_file():
            parser.error(f"there is no file '{path}'")
    suffix = SUFFIXES[args.format]
    args.out = args.out or Path(args.config).with_suffix(suffix).name
    if Path(args.out).suffix != suffix:
        parser.error(f"--out ends in '{suffix}' for {args.format}")
    if args.int8 and args.format not in ('onnx', 'openvino'):
        parser.error(f'--int8 is for onnx and openvino, not {args.format}')
    if args.calibration and not args.int8:
        parser.error('--calibration is for --int8')
    if args.calibration_images < 1:
        parser.error(
            f'--calibration-images is 1 or more, not {args.calibration_images}'
        )
    return args


def main() -> None:
    """Export what the config describes."""
    args = parse_args()
    # Not before: these take seconds to import.
    from mmengine.config import Config

    import mmvovnet.engine  # noqa: F401
    from mmvovnet.apis import build_model
    from mmvovnet.deploy import describe_model, export
    from mmvovnet.deploy.exporting import files_of
    from mmvovnet.deploy.quantize import calibration_images
    from mmvovnet.engine.known_warnings import ignore_known_warnings
    from mmvovnet.fileio import keep_apart
    from mmvovnet.tasks import require
    from mmvovnet.weights import CheckpointError

    ignore_known_warnings()

    try:
        given = args.config, args.checkpoint, args.calibration
        keep_apart(files_of(args.out), given)
        if not args.backbone:
            libraries = ('mmdet', 'mmpretrain')
            what = 'an export without --backbone'
            require(Config.fromfile(args.config), libraries, what)
        model = build_model(args.config, args.checkpoint, args.may_miss)
        metadata = describe_model(model)
        images = None
        if args.int8:
            config = args.calibration or args.config
            images = calibration_images(model, config, args.calibration_images)
        metadata = export(
            model.backbone if args.backbone else model,
            args.out,
            args.format,
            args.outputs,
            metadata,
            calibration=images,
        )
    except (CheckpointError, ImportError, OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    print(f'{args.out}: images -> {", ".join(metadata["outputs"])}')


if __name__ == '__main__':
    main()
