"""Divide a data set: ``python tools/split_data.py DATA --val 0.2 --test 0.1``.

DATA is a folder in Pascal VOC's form, or a JSON file of COCO's.
"""

import argparse
from pathlib import Path


def main() -> None:
    """Divide, and say what was written."""
    parser = argparse.ArgumentParser(
        description='Divide a data set for training, validation and test'
    )
    parser.add_argument('data', help="VOC's folder or COCO's JSON file")
    parser.add_argument('--val', type=float, default=0.2, help='share (0.2)')
    parser.add_argument('--test', type=float, default=0.0, help='share (0)')
    parser.add_argument('--seed', type=int, default=0)
    for name, default in (('ann', 'Annotations'), ('img', 'JPEGImages')):
        parser.add_argument(
            f'--{name}-subdir', default=default, help=f"VOC's ({default})"
        )
    args = parser.parse_args()
    if not Path(args.data).exists():
        parser.error(f"there is no '{args.data}'")
    # Not before: this takes seconds to import.
    from mmvovnet.datasets.split import split_coco, split_voc

    shares = args.val, args.test, args.seed
    try:
        if Path(args.data).is_dir():
            folders = args.ann_subdir, args.img_subdir
            written = split_voc(args.data, *shares, *folders)
        else:
            written = split_coco(args.data, *shares)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    for path in written:
        print(path)


if __name__ == '__main__':
    main()
