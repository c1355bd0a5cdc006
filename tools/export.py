"""Export a model: ``python tools/export.py CONFIG [CHECKPOINT] --format F``.

The file runs without OpenMMLab, with images of any number and size, and holds
what its user must know: the classes, and the images' mean, std and channel
order. It is compared with the model before it is written.
"""

import argparse
from pathlib import Path

SUFFIXES = {
    'onnx': '.onnx',
    'torchscript': '.torchscript',
    'torch-export': '.pt2',
    'openvino': '.xml',
}


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
    args = parser.parse_args()
    for path in filter(None, (args.config, args.checkpoint)):
        if '://' not in path and not Path(path).is_file():
            parser.error(f"there is no file '{path}'")
    suffix = SUFFIXES[args.format]
    args.out = args.out or Path(args.config).with_suffix(suffix).name
    if Path(args.out).suffix != suffix:
        parser.error(f"--out ends in '{suffix}' for {args.format}")
    return args


def main() -> None:
    """Export what the config describes."""
    args = parse_args()
    # Not before: these take seconds to import.
    import mmvovnet.engine  # noqa: F401
    from mmvovnet.apis import build_model
    from mmvovnet.deploy import describe_model, export
    from mmvovnet.engine.known_warnings import ignore_known_warnings

    ignore_known_warnings()

    model = build_model(args.config, args.checkpoint, args.may_miss)
    metadata = describe_model(model)
    if args.backbone:
        model = model.backbone
    metadata = export(model, args.out, args.format, args.outputs, metadata)
    print(f'{args.out}: images -> {", ".join(metadata["outputs"])}')


if __name__ == '__main__':
    main()
