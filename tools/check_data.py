"""Check data before a training: ``python tools/check_data.py CONFIG``.

Reads all annotations, decodes all images as the training does, and compares
them with the config. Without errors it also builds the model and takes a step
of training and of validation. The exit code is 1 where a training would be
wrong.
"""

import argparse
import sys
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line, and refuse a mistyped path at once."""
    parser = argparse.ArgumentParser(description='Check the data of a config')
    parser.add_argument('config', help='path of the config')
    parser.add_argument(
        '--splits',
        nargs='+',
        choices=['train', 'val', 'test'],
        default=['train', 'val'],
    )
    parser.add_argument(
        '--headers',
        dest='depth',
        action='store_const',
        const='headers',
        default='decode',
        help='read only the headers of images, which is faster',
    )
    parser.add_argument(
        '--no-steps',
        action='store_true',
        help='do not build the model and take trial steps',
    )
    parser.add_argument(
        '--workers',
        '--processes',
        type=int,
        help='how many threads open images (default: as many as cores)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='change the config',
    )
    args = parser.parse_args()
    if not Path(args.config).is_file():
        parser.error(f"there is no file '{args.config}'")
    return args


def main() -> None:
    """Print what the check found."""
    args = parse_args()
    # Not before: these take seconds to import.
    from mmvovnet.data_check import check
    from mmvovnet.engine import load_config
    from mmvovnet.engine.known_warnings import ignore_known_warnings

    ignore_known_warnings()
    cfg = load_config(args.config, args.cfg_options)
    report = check(
        cfg, args.splits, args.depth, args.workers, not args.no_steps
    )
    print(report)
    sys.exit(bool(report.errors))


if __name__ == '__main__':
    main()
