"""Draw the results of a training: ``python tools/analyze.py WORK_DIR``.

Pictures of the learning curves, of the classes that the model confuses, and of
a detector's errors by kind. Needs ``mmvovnet[analysis]``.
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line, and refuse a mistyped path at once."""
    parser = argparse.ArgumentParser(
        description='Draw the results of a training'
    )
    parser.add_argument('work_dir', help='folder of a training')
    parser.add_argument('--checkpoint', help='weights (default: the last)')
    parser.add_argument(
        '--out-dir', help='folder for the pictures (default: in WORK_DIR)'
    )
    args = parser.parse_args()
    for path in filter(None, (args.work_dir, args.checkpoint)):
        if '://' not in path and not Path(path).exists():
            parser.error(f"there is no '{path}'")
    return args


def main() -> None:
    """Draw the pictures, and print their paths."""
    args = parse_args()
    # Not before: this takes seconds to import.
    from mmvovnet.analysis.workdir import report
    from mmvovnet.engine import find_config
    from mmvovnet.engine.known_warnings import ignore_known_warnings
    from mmvovnet.fileio import keep_apart

    ignore_known_warnings()

    out_dir = args.out_dir or Path(args.work_dir, 'analysis')
    config = find_config(args.work_dir)
    try:  # the runner writes its own config there
        keep_apart([Path(out_dir, config.name)], [config])
    except ValueError as error:
        raise SystemExit(f'error: {error}') from None
    for path in report(args.work_dir, out_dir, args.checkpoint):
        print(path)


if __name__ == '__main__':
    main()
